cat("before")
x <- 1 +* 2
