// Each process burns little and hands over to the next, so that no single one meets RLIMIT_CPU.
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    puts("before");
    fflush(stdout);
    for (;;) {
        if (fork() == 0) {
            while (clock() < CLOCKS_PER_SEC / 20) {
            }
            _exit(0);
        }
        wait(NULL);
    }
}
