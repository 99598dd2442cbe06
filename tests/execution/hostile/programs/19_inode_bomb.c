#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char name[32];
    for (int n = 0; n < 1000000; n++) {
        sprintf(name, "/tmp/hostile-%d", n);
        int file = open(name, O_WRONLY | O_CREAT, 0600);
        if (file < 0) {
            puts(errno == ENOSPC ? "ENOSPC" : "another error");
            return 0;
        }
        close(file);
    }
    puts("no limit");
}
