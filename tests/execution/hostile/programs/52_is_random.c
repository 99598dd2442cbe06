#include <stdio.h>
#include <sys/random.h>
int main(void) {
    unsigned long number;
    getrandom(&number, sizeof number, 0);
    printf("%lx\n", number);
}
