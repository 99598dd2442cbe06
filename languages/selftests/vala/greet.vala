void main () {
    var name = stdin.read_line ();
    print ("Hello, %s!\n", name);
}
