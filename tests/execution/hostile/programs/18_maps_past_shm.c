// The file is as large as wanted, the store behind it is not: touching it is SIGBUS.
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    int file = open("/dev/shm/hostile-big", O_RDWR | O_CREAT, 0600);
    if (ftruncate(file, 60 << 20) != 0) return 9;
    memset(mmap(NULL, 60 << 20, PROT_WRITE, MAP_SHARED, file, 0), 'x', 60 << 20);
    return 0;
}
