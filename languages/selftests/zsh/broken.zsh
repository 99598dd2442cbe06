print before
if true; then fi)
