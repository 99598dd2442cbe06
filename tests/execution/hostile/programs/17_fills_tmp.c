#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    static char piece[1 << 16];
    int file = open("/tmp/hostile-big", O_WRONLY | O_CREAT, 0600);
    while (write(file, piece, sizeof piece) > 0) {
    }
    puts(errno == ENOSPC ? "ENOSPC" : "another error");
}
