echo before
end
