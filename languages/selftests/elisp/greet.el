(let ((name (read-string "")))
  (princ (format "Hello, %s!\n" name)))
