"""Sign-in by user name or e-mail address, for pages, API and admin alike."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend


class NameOrEmailBackend(ModelBackend):
    pass
