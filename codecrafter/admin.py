"""The admin site's name, and what it leaves out."""

from __future__ import annotations

from django.contrib import admin
from rest_framework_simplejwt.token_blacklist import admin as token_admin  # noqa: F401 (it registers what goes below)
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

admin.site.site_header = "CodeCrafter"
admin.site.site_title = "CodeCrafter"
admin.site.index_title = "Moderation"

# Its pages show refresh tokens in full.
admin.site.unregister(OutstandingToken)
admin.site.unregister(BlacklistedToken)
