puts "before"
puts missing
