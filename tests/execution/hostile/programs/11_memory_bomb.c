#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    puts("before");
    fflush(stdout);
    for (;;) {
        char *piece = malloc(1 << 20);
        if (piece != NULL) memset(piece, 'x', 1 << 20);
    }
}
