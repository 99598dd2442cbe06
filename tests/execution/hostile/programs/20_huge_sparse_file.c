#include <fcntl.h>
#include <unistd.h>
int main(void) {
    int file = open("hostile-sparse", O_RDWR | O_CREAT, 0600);
    return ftruncate(file, 1L << 50) == 0 ? 9 : 8;
}
