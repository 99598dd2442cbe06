// System V and POSIX objects outlive a process; the next run must not find them.
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    key_t key = 0x686f7374;
    if (shmget(key, 0, 0) >= 0) puts("found shared memory");
    if (msgget(key, 0) >= 0) puts("found a message queue");
    if (mq_open("/hostile", O_RDONLY) >= 0) puts("found a POSIX queue");
    shmget(key, 4096, IPC_CREAT | 0666);
    msgget(key, IPC_CREAT | 0666);
    mq_open("/hostile", O_CREAT | O_RDWR, 0666, NULL);
    if (syscall(SYS_add_key, "user", "hostile", "x", 1L, -4L) >= 0) puts("left a key");
    if (syscall(SYS_keyctl, 0L, -5L, 0L) >= 0) puts("has a keyring");
    puts("end");
}
