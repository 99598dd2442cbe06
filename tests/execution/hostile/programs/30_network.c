// Arguments: a port on which the host listens, and the host's own addresses.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void attempt(int kind, const char *address, int port) {
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &target.sin_addr);
    int s = socket(AF_INET, kind, 0);
    if (s >= 0 && connect(s, (struct sockaddr *)&target, sizeof target) == 0 && send(s, "hostile", 7, 0) == 7)
        printf("reached %s %d\n", address, port);
}

int main(int count, char **words) {
    int port = atoi(words[1]);
    const char *fixed[] = {"127.0.0.1", "172.17.0.1", "169.254.169.254", "1.1.1.1"};
    for (int n = 0; n < 4; n++) attempt(SOCK_STREAM, fixed[n], n < 2 ? port : 80);
    for (int n = 2; n < count; n++) attempt(SOCK_STREAM, words[n], port);
    attempt(SOCK_DGRAM, "8.8.8.8", 53);
    puts("interfaces []");
}
