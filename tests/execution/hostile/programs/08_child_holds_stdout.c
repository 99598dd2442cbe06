#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (fork() == 0) {
        sleep(1000);
        puts("never");
    } else {
        puts("parent ends");
    }
}
