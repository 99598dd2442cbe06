/* Takes 400 MB by the way that the argument names, mapped in no process for long. 3: it was refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WANTED (400L << 20)
#define PIECE (4L << 20)

static char data[1 << 20];
static long taken;

static void refused(void) { _exit(3); }

static void held(void) {
    /* Long enough for whoever counts. */
    sleep(1);
    (void)!write(1, "held\n", 5);
    _exit(0);
}

static void fill(int descriptor, long size) {
    for (long done = 0; done < size; done += sizeof data)
        if (write(descriptor, data, sizeof data) < 0) refused();
}

/* In as many processes as it takes, because each has few descriptors. */
static void in_processes(int count, void (*work)(void)) {
    int done[2];
    char word;
    if (pipe(done)) refused();
    for (int number = 0; number < count; number++) {
        pid_t child = fork();
        if (child < 0) refused();
        if (child == 0) {
            taken = WANTED / count;
            work();
            (void)!write(done[1], taken < WANTED / count ? "r" : "d", 1);
            for (;;) pause();
        }
    }
    while (count--)
        if (read(done[0], &word, 1) == 1 && word == 'r') refused();
    held();
}

static void fill_pipes(void) {
    int ends[2];
    while (pipe(ends) == 0) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (write(ends[1], data, 65536) > 0) continue;
    }
}

static void fill_sockets(void) {
    int ends[2], size = 1 << 24;
    while (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0)
        for (int side = 0; side < 2; side++) {
            setsockopt(ends[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
            fcntl(ends[side], F_SETFL, O_NONBLOCK);
            while (write(ends[side], data, 65536) > 0) continue;
        }
}

static void fill_tcp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&address, length) || listen(server, 128)) refused();
    getsockname(server, (void *)&address, &length);
    taken = 0;
    for (int number = 0; number < 400; number++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (client < 0 || connect(client, (void *)&address, length)) break;
        int peer = accept(server, 0, 0);
        if (peer < 0) break;
        fcntl(client, F_SETFL, O_NONBLOCK);
        for (long size; (size = write(client, data, 65536)) > 0;) taken += size;
    }
}

static void watch_everything(void) {
    int polls[400], ends[2];
    struct epoll_event event = {.events = EPOLLIN};
    for (int each = 0; each < 400; each++) polls[each] = epoll_create1(0);
    while (pipe(ends) == 0)
        for (int each = 0; each < 400; each++) epoll_ctl(polls[each], EPOLL_CTL_ADD, ends[0], &event);
}

static void *eat(void *unused) {
    usleep(100000);
    char *memory = malloc(WANTED);
    for (long at = 0; at < WANTED; at += 4096) memory[at] = 1;
    held();
    return unused;
}

int main(int count, char **words) {
    const char *way = count > 1 ? words[1] : "";
    signal(SIGPIPE, SIG_IGN);
    memset(data, 1, sizeof data);
    if (!strcmp(way, "memfd")) {
        for (long size = 0; size < WANTED; size += 40L << 20) {
            int file = memfd_create("x", 0);
            if (file < 0) refused();
            fill(file, 40L << 20);
        }
    } else if (!strcmp(way, "sysv")) {
        for (long size = 0; size < WANTED; size += PIECE) {
            int id = shmget(IPC_PRIVATE, PIECE, 0600 | IPC_CREAT);
            if (id < 0) refused();
            char *memory = shmat(id, 0, 0);
            memset(memory, 1, PIECE);
            shmdt(memory);
        }
    } else if (!strcmp(way, "messages")) {
        struct { long kind; char text[8000]; } message = {.kind = 1};
        for (long size = 0; size < WANTED; size += 16000) {
            int id = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
            if (id < 0) refused();
            msgsnd(id, &message, 8000, IPC_NOWAIT);
            msgsnd(id, &message, 8000, IPC_NOWAIT);
        }
    } else if (!strcmp(way, "semaphores")) {
        for (long size = 0; size < WANTED; size += 32000 * 64)
            if (semget(IPC_PRIVATE, 32000, 0600 | IPC_CREAT) < 0) refused();
    } else if (!strcmp(way, "shared")) {
        char *memory = mmap(0, WANTED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) refused();
        for (long at = 0; at < WANTED; at += PIECE) {
            memset(memory + at, 1, PIECE);
            madvise(memory + at, PIECE, MADV_DONTNEED);
        }
        munmap(memory, WANTED - 4096);
    } else if (!strcmp(way, "zero")) {
        char *memory = mmap(0, WANTED, PROT_READ | PROT_WRITE, MAP_SHARED, open("/dev/zero", O_RDWR), 0);
        if (memory == MAP_FAILED) refused();
        for (long at = 0; at < WANTED; at += PIECE) {
            memset(memory + at, 1, PIECE);
            madvise(memory + at, PIECE, MADV_DONTNEED);
        }
    } else if (!strcmp(way, "tables")) {
        /* Each touched page is the one page of zeros; the tables that lead there are not. */
        long size = WANTED / 4096 << 21;
        volatile char *memory = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) refused();
        madvise((void *)memory, size, MADV_NOHUGEPAGE);
        for (long at = 0; at < size; at += 1L << 21) (void)memory[at];
    } else if (!strcmp(way, "first-thread-ends")) {
        pthread_t thread;
        if (pthread_create(&thread, 0, eat, 0)) refused();
        pthread_exit(0);
    } else if (!strcmp(way, "hidden")) {
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) refused();
        in_processes(12, fill_sockets);
    } else if (!strcmp(way, "pipes"))
        in_processes(40, fill_pipes);
    else if (!strcmp(way, "sockets"))
        in_processes(4, fill_sockets);
    else if (!strcmp(way, "tcp"))
        in_processes(4, fill_tcp);
    else if (!strcmp(way, "watches"))
        in_processes(20, watch_everything);
    else
        refused();
    held();
}
