"""Fields of the API that more than one serializer has: a language, a program's text, a title."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers

import languages
from sessions_app.limits import TITLE_MAX_CHARACTERS
from web.lines import one_line


class LanguageField(serializers.CharField):
    """A language by key or alias. Its value is the key."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return languages.get(super().to_internal_value(data)).key
        except KeyError:
            raise serializers.ValidationError(
                "Unknown language. GET /api/execute/languages lists them.", "unknown_language"
            ) from None


class TextField(serializers.CharField):
    """Program text, unchanged except for line ends, and limited in bytes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_blank=True, trim_whitespace=False, **kwargs)
        # A program may hold any character, NUL included, which DRF refuses by default.
        self.validators = [v for v in self.validators if not isinstance(v, ProhibitNullCharactersValidator)]

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise serializers.ValidationError("The text holds a lone surrogate.", "invalid") from None
        if size > settings.TEXT_MAX_BYTES:
            raise serializers.ValidationError(f"The text is larger than {settings.TEXT_MAX_BYTES} bytes.", "too_large")
        return text


class LineField(serializers.CharField):
    """One line without hidden characters."""

    def to_internal_value(self, data: Any) -> str:
        line = one_line(super().to_internal_value(data))
        if not line and not self.allow_blank:
            self.fail("blank")
        return line


class TitleField(LineField):
    """The title of a session."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=TITLE_MAX_CHARACTERS, **kwargs)
