identification division.
program-id. tried.

procedure division.
    display missing
    stop run.
