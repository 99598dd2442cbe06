puts "before"
puts $missing
