import mmap

with mmap.mmap(-1, 2 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
    print("given" if len(memory) else "refused")
