line input "" name$
print "Hello, ", name$, "!"
