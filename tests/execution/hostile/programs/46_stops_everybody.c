#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void) {
    puts("before");
    fflush(stdout);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    kill(1, SIGSTOP);
    kill(getppid(), SIGSTOP);
    kill(-1, SIGSTOP);
    raise(SIGSTOP);
}
