// Files of the system are shared by all sandboxes of a host; what watches them would see the others work.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(void) {
    int folder = open("/usr/bin", O_RDONLY);
    int file = open("/usr/bin/env", O_RDONLY);
    signal(SIGIO, SIG_IGN);
    int watch = inotify_init();
    if (watch >= 0 && inotify_add_watch(watch, "/usr/bin", IN_OPEN) >= 0) puts("watches a folder");
    if (fcntl(folder, 1026, 1L | 0x80000000L) == 0) puts("is notified of a folder");
    if (fcntl(file, 1024, F_RDLCK) == 0) puts("has a lease");
    puts("end");
}
