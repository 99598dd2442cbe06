say 'before'
if then then
