print("before")
print("never closed"
