#include <stdio.h>
#include <unistd.h>
int main(void) {
    close(0);
    usleep(100000);
    puts("done");
}
