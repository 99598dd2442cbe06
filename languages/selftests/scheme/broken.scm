(display "before")
(display (+ 1 2)
