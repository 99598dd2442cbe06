#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const struct itimerval never;
static volatile int ticks;

static void tick(int number) {
    if (++ticks == 2000) setitimer(ITIMER_REAL, &never, NULL);
}

int main(void) {
    struct itimerval often = {{0, 1}, {0, 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    signal(SIGALRM, tick);
    for (int n = 0; n < 100000; n++)
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) break;
    setitimer(ITIMER_REAL, &often, NULL);
    while (ticks < 2000) usleep(1000);
    puts("done");
}
