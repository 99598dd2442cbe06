// Each level repeats the whole chain of inclusions above it.
#pragma message "flood"
#include "main.c"
int main(void) {}
