#include <unistd.h>
int main(void) {
    for (;;) {
        write(1, "o", 1);
        write(2, "e", 1);
    }
}
