answer = 42
answer = = 43
