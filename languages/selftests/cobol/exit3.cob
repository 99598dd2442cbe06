identification division.
program-id. tried.

procedure division.
    move 3 to return-code
    stop run.
