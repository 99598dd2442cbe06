local name = io.read()
print("Hello, " .. name .. "!")
