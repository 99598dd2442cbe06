import os

for _ in range(1000):
    os.mkdir("d" * 255)
    os.chdir("d" * 255)
open(b"hostile-\xc3.txt", "wb").close()
print("deep", len(os.listdir(b".")))
