static int down(int n) {
    volatile int here = n;
    return down(n + 1) + here;
}
int main(void) { return down(0); }
