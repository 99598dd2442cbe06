#include <stdio.h>
int main(void) {
    char data[8];
    size_t size = fread(data, 1, sizeof data, stdin);
    while (size > 0) putchar(data[--size]);
    fwrite("OK", 1, 3, stderr);
}
