(format t "before~%")
(format t "never closed"
