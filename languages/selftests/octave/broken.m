disp("before")
x = 1 +* 2
