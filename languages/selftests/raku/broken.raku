say "before";
say 1 +* ;)
