#include <unistd.h>

#define PRINT(text) write(1, text, sizeof text - 1)
int main(void) {
    PRINT("\xef\xbb\xbf\xe2");
    usleep(50000);
    PRINT("\x82\xac\r\n\xff\xfe\xed\xa0\x80\xc3(");
    PRINT("\x1b[2J\x1b]0;title\x07\x1b]8;;http://example.org\x07\x08\n");
}
