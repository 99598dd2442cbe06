"""Serializers of sessions and everything in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

import languages
from languages.templates import template_of
from sessions_app.access import permission_of, shown_permission
from sessions_app.description import describe
from sessions_app.document.texts import MAIN, DeletedFile, File
from sessions_app.fields import LanguageField, TextField, TitleField
from sessions_app.limits import REPORT_MAX_CHARACTERS
from sessions_app.models import (
    UP_TO_WRITE,
    ChatMessage,
    CodeSession,
    Collaborator,
    GuestPass,
    Invite,
    InviteUse,
    Permission,
    Report,
    Segment,
)

if TYPE_CHECKING:
    from sessions_app.access import Access

METADATA_MAX_BYTES = 16 * 1024


class PersonSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    username = serializers.CharField()


class SessionSerializer(serializers.ModelSerializer):
    """A session as one user sees it. `permission` comes from the context or an annotation."""

    owner = PersonSerializer(read_only=True)
    permission = serializers.CharField()
    forked_from = serializers.UUIDField(source="forked_from_id", read_only=True, allow_null=True)

    class Meta:
        model = CodeSession
        fields = [
            "id", "title", "language", "is_public", "allows_guests", "permission", "owner", "metadata", "forked_from",
            "version", "created_at", "updated_at",
        ]  # fmt: skip

    def to_representation(self, session: CodeSession) -> dict[str, Any]:
        """Build the dict by hand: a list of twenty would spend most of its time in the fields."""
        return describe(session, self._permission(session))

    def _permission(self, session: CodeSession) -> str:
        access: Access | None = self.context.get("access")
        if access is not None:
            return access.shown_permission
        given = getattr(session, "given_permission", None)
        return shown_permission(session, permission_of(session, self.context["request"].user.pk, given))


class SessionDetailSerializer(SessionSerializer):
    """A session with the text of the entry file at the committed head. For the schema."""

    content = serializers.CharField()

    class Meta(SessionSerializer.Meta):
        fields = [*SessionSerializer.Meta.fields, "content"]


class SessionInput(serializers.Serializer):
    title = TitleField(required=False)
    language = LanguageField(required=False)
    content = TextField(required=False)
    is_public = serializers.BooleanField(required=False)
    metadata = serializers.DictField(required=False)

    def validate_metadata(self, value: dict[str, Any]) -> dict[str, Any]:
        try:
            encoded = json.dumps(value, allow_nan=False)
        except ValueError:
            # 1e400 is valid JSON, but is read as infinity, which no database accepts.
            raise serializers.ValidationError("The metadata holds a number that is too large.", "invalid") from None
        if len(encoded) > METADATA_MAX_BYTES:
            raise serializers.ValidationError(f"The metadata is larger than {METADATA_MAX_BYTES} bytes.", "too_large")
        # PostgreSQL's jsonb holds neither of these.
        if r"\u0000" in encoded or any(
            "\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False)
        ):
            raise serializers.ValidationError("The metadata holds NUL or lone surrogate characters.", "invalid")
        return value


class SessionCreateInput(SessionInput):
    title = TitleField()
    language = LanguageField(default="javascript")
    template = serializers.CharField(
        max_length=30, required=False, help_text="Instead of `content`: a key from GET /api/templates."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Replace `template` by its content."""
        key = attrs.pop("template", None)
        if key is None:
            return attrs
        if "content" in attrs:
            raise serializers.ValidationError({"template": "Give either content or a template."}, "invalid")
        try:
            return attrs | {"content": template_of(languages.get(attrs["language"]), key).content}
        except KeyError:
            problem = "The language has no such template. GET /api/templates lists them."
            raise serializers.ValidationError({"template": problem}, "unknown_template") from None


class TemplateSerializer(serializers.Serializer):
    """A template for new sessions in a language."""

    language = serializers.CharField()
    key = serializers.CharField()
    name = serializers.CharField()
    file_name = serializers.CharField()
    content = serializers.CharField()


class ForkInput(serializers.Serializer):
    title = TitleField(required=False)


class ImportInput(serializers.Serializer):
    """The query parameters of an import."""

    title = TitleField(required=False)
    language = LanguageField(required=False)


class SessionChangeInput(SessionInput):
    allows_guests = serializers.BooleanField(required=False, help_text="Only the owner can change it.")
    base_revision = serializers.IntegerField(min_value=0, required=False)


class SessionReplaceInput(SessionChangeInput):
    title = TitleField()
    language = LanguageField()


class JoinInput(serializers.Serializer):
    invite = serializers.CharField(max_length=100, required=False)


class CollaboratorSerializer(serializers.ModelSerializer):
    user = PersonSerializer(read_only=True)

    class Meta:
        model = Collaborator
        fields = ["user", "permission", "added_at"]


class CollaboratorChangeInput(serializers.Serializer):
    permission = serializers.ChoiceField(choices=Permission.choices)


class CollaboratorInput(CollaboratorChangeInput):
    username = serializers.CharField(max_length=150)


class TransferInput(serializers.Serializer):
    username = serializers.CharField(max_length=150, help_text="A member of the session.")


class GuestSerializer(serializers.ModelSerializer):
    user = PersonSerializer(read_only=True)

    class Meta:
        model = GuestPass
        fields = ["user", "permission", "created_at", "expires_at"]


class GuestNameInput(serializers.Serializer):
    name = serializers.CharField(max_length=100)


class InviteUseSerializer(serializers.ModelSerializer):
    user = PersonSerializer(read_only=True)

    class Meta:
        model = InviteUse
        fields = ["user", "used_at"]


class InviteSerializer(serializers.ModelSerializer):
    created_by = PersonSerializer(read_only=True)
    is_usable = serializers.BooleanField(read_only=True)
    joined_count = serializers.IntegerField(read_only=True, default=0)
    joined = InviteUseSerializer(
        source="newest_uses", many=True, read_only=True, default=[], help_text="Who joined through it, newest first."
    )

    class Meta:
        model = Invite
        fields = [
            "id", "permission", "created_by", "created_at", "expires_at", "uses_left", "is_usable", "joined_count",
            "joined",
        ]  # fmt: skip


class MadeInviteSerializer(InviteSerializer):
    """A new invite, with the link, which is shown only this once."""

    token = serializers.CharField()
    url = serializers.URLField()

    class Meta(InviteSerializer.Meta):
        fields = [*InviteSerializer.Meta.fields, "token", "url"]


class InviteInput(serializers.Serializer):
    permission = serializers.ChoiceField(choices=UP_TO_WRITE, default="write")
    expires_in = serializers.IntegerField(
        min_value=60,
        max_value=366 * 86_400,
        allow_null=True,
        default=None,
        help_text="Seconds until it expires; null means never.",
    )
    uses = serializers.IntegerField(
        min_value=1,
        max_value=1000,
        allow_null=True,
        default=None,
        help_text="How many people can use it; null means any number.",
    )


class FileSerializer(serializers.Serializer):
    id = serializers.CharField()
    path = serializers.CharField()
    is_entry = serializers.SerializerMethodField()
    size_bytes = serializers.SerializerMethodField()

    def get_is_entry(self, file: File) -> bool:
        return file.id == MAIN

    def get_size_bytes(self, file: File) -> int:
        return len(file.text.encode())


class FileDetailSerializer(FileSerializer):
    content = serializers.CharField()
    revision = serializers.IntegerField()


class BringBackInput(serializers.Serializer):
    path = serializers.CharField(max_length=255, trim_whitespace=False, required=False)


class NewFileInput(serializers.Serializer):
    path = serializers.CharField(max_length=255, trim_whitespace=False)
    content = TextField(default="")


class FileChangeInput(serializers.Serializer):
    path = serializers.CharField(max_length=255, trim_whitespace=False, required=False)
    content = TextField(required=False)
    base_revision = serializers.IntegerField(min_value=0, required=False)


class SpeakerSerializer(PersonSerializer):
    hue = serializers.IntegerField()


class DeletedFileSerializer(serializers.Serializer):
    """A deleted file. `deleted_by` and `deleted_at` are null if it was not deleted over REST."""

    id = serializers.CharField()
    path = serializers.CharField()
    size_bytes = serializers.IntegerField()
    deleted_by = SpeakerSerializer(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)


class DeletedFileDetailSerializer(DeletedFileSerializer):
    content = serializers.CharField()
    revision = serializers.IntegerField()


class ChatMessageSerializer(serializers.ModelSerializer):
    """A chat message. `user` is null if the account was deleted."""

    user = SpeakerSerializer(read_only=True, allow_null=True)

    class Meta:
        model = ChatMessage
        fields = ["id", "user", "text", "created_at"]


class ChatInput(serializers.Serializer):
    """A message to send. `ref` comes back with it over the socket, so that the sender recognizes it."""

    text = TextField()
    ref = serializers.CharField(max_length=64, required=False)


class HistoryStepSerializer(serializers.ModelSerializer):
    """What one user wrote within a minute or so. `user` is null for the first text, and for deleted accounts."""

    first_revision = serializers.IntegerField(source="first_seq")
    last_revision = serializers.IntegerField(source="last_seq")
    user = SpeakerSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Segment
        fields = ["first_revision", "last_revision", "user", "origin", "started_at", "ended_at"]


class ReportInput(serializers.Serializer):
    reason = serializers.CharField(max_length=REPORT_MAX_CHARACTERS)


class ReportSerializer(serializers.ModelSerializer):
    class Meta:
        model = Report
        fields = ["id", "state", "reason", "created_at"]


class RestoredSerializer(serializers.Serializer):
    revision = serializers.IntegerField()


class PastFileSerializer(serializers.Serializer):
    id = serializers.CharField()
    path = serializers.CharField()
    size_bytes = serializers.SerializerMethodField()
    is_deleted = serializers.SerializerMethodField()

    def get_size_bytes(self, file: File) -> int:
        return len(file.text.encode())

    def get_is_deleted(self, file: File) -> bool:
        return isinstance(file, DeletedFile)


class PastTextSerializer(RestoredSerializer):
    """A past text. `content` is that of `file`; `files` has all files of the revision."""

    file = serializers.CharField()
    path = serializers.CharField()
    content = serializers.CharField()
    files = PastFileSerializer(many=True)


class PastRestoreInput(serializers.Serializer):
    """What to restore. Without `file`, all files of the revision."""

    file = serializers.CharField(max_length=40, required=False)
