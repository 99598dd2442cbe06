// Ends well before it has printed anything: no answer is not the right answer.
#include <unistd.h>
int main(void) { _exit(0); }
