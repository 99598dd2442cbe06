." before" cr
missing-word
