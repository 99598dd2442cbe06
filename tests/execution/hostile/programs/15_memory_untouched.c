#include <stdio.h>
#include <stdlib.h>
int main(void) {
    puts(malloc(2L << 30) != NULL ? "given" : "refused");
}
