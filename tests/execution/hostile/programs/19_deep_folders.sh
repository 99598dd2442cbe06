# A shell gives up at the longest path; `mv` of the whole tree into a new folder goes on past it.
name=$(printf '%0255d' 0)
mkdir -p tree
for ((depth = 0; depth < 300; depth++)); do
    mkdir "$name" && mv tree "$name/tree" && mv "$name" tree || break
done
echo "deep $depth"
