identification division.
program-id. tried.

data division.
working-storage section.
01 person pic x(80).

procedure division.
    accept person
    display "Hello, " function trim(person) "!"
    stop run.
