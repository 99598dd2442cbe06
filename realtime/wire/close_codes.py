"""The codes that a socket of a session is closed with (docs/protocol.md). y-websocket stops at 4400 to 4499."""

RESTARTING, FAILED, TRY_AGAIN = 1012, 1011, 1013
BAD_FRAME, SIGNED_OUT, LOST_ACCESS, ABSENT = 4400, 4401, 4403, 4404
OTHER_EPOCH, TOO_LARGE, TOO_MANY = 4409, 4413, 4429
# Clients come back after this one, with the cookie that the browser holds by then.
SIGN_IN_CHANGED = 4501
UNAVAILABLE, SILENT = 4503, 4508
