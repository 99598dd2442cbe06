import std.stdio, std.string;

void main()
{
    writefln("Hello, %s!", readln().strip());
}
