#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int status, dead = 0;
    for (int n = 0; n < 10; n++)
        if (fork() == 0) {
            volatile char *piece = malloc(20 << 20);
            for (int at = 0; at < 20 << 20; at += 512) piece[at] = 1;
            sleep(2);
            _exit(0);
        }
    while (wait(&status) > 0) dead += status != 0;
    return dead;
}
