puts "before"
puts "never closed" (
