using System;

class Program
{
    static void Main()
    {
        var name = Console.ReadLine();
        Console.WriteLine($"Hello, {name}!");
    }
}
