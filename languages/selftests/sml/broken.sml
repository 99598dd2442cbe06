print "before\n";
val number : int = "text";
