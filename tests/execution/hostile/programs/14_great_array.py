great = b"x" * (400 << 20)
print(len(great))
