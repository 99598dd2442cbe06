"""How much a session, its files and its messages may hold. Errors state these limits, and the rules apply them."""

TITLE_MAX_CHARACTERS = 120
CHAT_MAX_CHARACTERS = 2000
REPORT_MAX_CHARACTERS = 2000
FILES_MAX = 50
PATH_PARTS_MAX = 8
PATH_MAX_BYTES = 255
INVITES_MAX = 20
GUESTS_MAX = 50
