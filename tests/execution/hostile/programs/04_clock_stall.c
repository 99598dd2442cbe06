#include <stdio.h>
#include <time.h>

int main(void) {
    struct timespec now;
    puts("before");
    fflush(stdout);
    do {
        clock_gettime(CLOCK_REALTIME, &now);
    } while (now.tv_nsec >= 0);
}
