(princ "before\n")
(princ "never closed"
