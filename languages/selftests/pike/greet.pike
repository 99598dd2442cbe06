int main() {
    string name = Stdio.stdin.gets();
    write("Hello, %s!\n", name);
    return 0;
}
