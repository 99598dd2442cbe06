#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            for (int n = 0; n < 3; n++) close(n);
            sleep(1000);
        }
        _exit(0);
    }
    wait(NULL);
    puts("parent ends");
}
