#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    if (fork() == 0)
        for (;;) {
            char *piece = malloc(1 << 20);
            if (piece != NULL) memset(piece, 'x', 1 << 20);
        }
    wait(NULL);
    puts("parent is well");
}
