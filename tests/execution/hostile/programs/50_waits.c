#include <stdio.h>
#include <unistd.h>
int main(void) {
    puts("up");
    fflush(stdout);
    sleep(1000);
}
