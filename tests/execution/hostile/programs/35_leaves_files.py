import os

for place in ("/work", "/tmp", "/dev/shm"):
    print(place, [name for name in os.listdir(place) if "hostile" in name])
    with open(f"{place}/hostile-left", "w") as file:
        file.write("left")
