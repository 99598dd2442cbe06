person(ada).
main :- person(X) write(X).
