print("before")
local = 1
