template <int depth, int branch> struct Bomb {
    static const int size = Bomb<depth - 1, 2 * branch>::size + Bomb<depth - 1, 2 * branch + 1>::size;
};
template <int branch> struct Bomb<0, branch> {
    static const int size = 1;
};
int main() { return Bomb<28, 0>::size; }
