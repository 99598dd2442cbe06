#include <stdio.h>
int main(void) {
    long count = 0;
    for (int n = 0; n < 1 << 20; n++) putchar('x');
    while (getchar() != EOF) count++;
    printf("%ld\n", count);
}
