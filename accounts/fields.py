"""Limits and choices of a user's fields, shared by API and forms."""

from __future__ import annotations

USERNAME_RULE = "Use 3 to 30 letters, digits, dots, dashes or underscores."
EMAIL_MAX = 254
# bcrypt takes any length (through SHA-256), but hashing a megabyte is expensive and nobody needs it.
PASSWORD_MAX = 1024
THEMES = ("system", "light", "dark")
KEYMAPS = ("default", "vim", "emacs")
FONT_SIZES = (10, 32)
TAB_SIZES = (1, 8)
CODE_MAX = 32
TOKEN_DAYS_MAX = 3650
