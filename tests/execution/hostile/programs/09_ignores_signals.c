#include <signal.h>
#include <stdio.h>
int main(void) {
    sigset_t all;
    for (int n = 1; n < NSIG; n++) signal(n, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    puts("before");
    fflush(stdout);
    for (;;) {
    }
}
