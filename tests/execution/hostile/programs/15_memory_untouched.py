import mmap

with mmap.mmap(-1, 2 << 30) as memory:
    print("given" if len(memory) else "refused")
