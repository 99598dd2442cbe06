// Argument: the name of an abstract unix socket on which the host listens.
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int count, char **words) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(words[1]);
    memcpy(address.sun_path + 1, words[1], length);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length) == 0)
        puts("reached the host by an abstract name");
    int families[] = {40, 17, 38};
    for (int n = 0; n < 3; n++) {
        if (socket(families[n], SOCK_RAW, 0) >= 0 || socket(families[n], SOCK_SEQPACKET, 0) >= 0 ||
            socket(families[n], SOCK_STREAM, 0) >= 0)
            printf("made a socket of family %d\n", families[n]);
    }
    puts("end");
}
