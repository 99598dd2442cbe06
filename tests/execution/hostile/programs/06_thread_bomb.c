#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *wait_for_ever(void *nothing) {
    pause();
    return nothing;
}

int main(void) {
    pthread_t thread;
    pthread_attr_t small;
    int count = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (pthread_create(&thread, &small, wait_for_ever, NULL) == 0) count++;
    printf("refused %s\n", count < 64 ? "True" : "False");
    return 3;
}
