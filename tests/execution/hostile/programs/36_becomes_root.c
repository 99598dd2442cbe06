#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
    if (setuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0) puts("became root");
    if (syscall(SYS_capset, &header, data) == 0) puts("took capabilities");
    if (prctl(PR_SET_SECUREBITS, 0) == 0) puts("changed securebits");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) != 1) puts("may gain privileges");
    printf("uid %d %d\n", getuid(), geteuid());
}
