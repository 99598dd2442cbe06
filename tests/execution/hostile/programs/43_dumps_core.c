#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
int main(void) {
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    prctl(PR_SET_DUMPABLE, 1);
    if (setrlimit(RLIMIT_CORE, &all) == 0) puts("a core is allowed");
    getrlimit(RLIMIT_CORE, &all);
    if (all.rlim_max > 1) printf("core limit %ld\n", (long)all.rlim_max);
    puts("end");
    fflush(stdout);
    abort();
}
