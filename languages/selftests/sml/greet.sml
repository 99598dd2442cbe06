val name = valOf (TextIO.inputLine TextIO.stdIn);
print ("Hello, " ^ String.substring (name, 0, size name - 1) ^ "!\n");
