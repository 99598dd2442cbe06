static char great[400 << 20];
int main(void) {
    for (long n = 0; n < (long)sizeof great; n += 4096) great[n] = 1;
    return great[8192] - 1;
}
