: name ( -- addr len ) pad dup 80 stdin read-line throw drop ;

." Hello, " name type ." !" cr
