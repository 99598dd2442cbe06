#include <stdlib.h>
int main(int count, char **words) { return atoi(words[1]); }
