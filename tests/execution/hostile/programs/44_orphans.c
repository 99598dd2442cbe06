// The children are not waited for: they stay as zombies until the limit is met.
#include <stdio.h>
#include <unistd.h>
int main(void) {
    int made = 0;
    for (int n = 0; n < 1000; n++) {
        int child = fork();
        if (child == 0) _exit(0);
        made += child > 0;
    }
    puts(made <= 64 ? "limited" : "no limit");
}
