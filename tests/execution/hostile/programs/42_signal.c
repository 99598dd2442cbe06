#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    volatile int hundred = 100, zero = 0;
    if (strcmp(words[1], "null") == 0) *(volatile int *)(long)zero = 1;
    if (strcmp(words[1], "abort") == 0) abort();
    if (strcmp(words[1], "divide") == 0) return hundred / zero;
    kill(getpid(), atoi(words[1]));
    pause();
}
