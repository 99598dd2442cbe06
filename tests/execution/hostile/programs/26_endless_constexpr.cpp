constexpr unsigned spin(unsigned n) {
    for (;;) n = n * 1664525u + 1013904223u;
    return n;
}
constexpr unsigned result = spin(1);
int main() { return result; }
