#include <stdio.h>
int main(void) {
    puts("before");
    fflush(stdout);
    for (volatile long n = 0;; n++) {
    }
}
