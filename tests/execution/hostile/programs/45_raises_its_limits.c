#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    struct rlimit limit;
    struct sched_param first = {.sched_priority = 1};
    int names[] = {RLIMIT_CPU, RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE};
    for (int n = 0; n < 4; n++) {
        getrlimit(names[n], &limit);
        limit.rlim_max++;
        if (setrlimit(names[n], &limit) == 0) printf("raised %d\n", names[n]);
    }
    if (setpriority(PRIO_PROCESS, 0, -20) == 0) puts("nice");
    if (sched_setscheduler(0, SCHED_FIFO, &first) == 0) puts("real time");
    if (syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 0) == 0) puts("disk before all others");
    puts("end");
}
