"""Errors of requests about sessions.

DomainError (web/problems.py)
  SessionNotFound     absent, archived, or not for you
  NotAllowed          you may see the session, but not do this
    SessionLocked     a moderator made it read-only for everybody
    RunsFrozen        a moderator stopped programs in it
    ClosedByModerator the owner cannot restore it
    StorageFull       its owner has no storage left
      DiskLow         the disk of the server is nearly full
  TooManySessions     the user has reached the limit of sessions
  AlreadyReported     the user's earlier report of the session is still open
  InviteNotFound      no such link, or it was revoked, used up or expired
  GuestsNotAllowed    the owner does not admit people without an account
  TooManyGuests       the session has reached its limit of guests
  TooManyInvites      the session has reached its limit of links
  PersonNotFound      no user has this name
  NoCollaborator      the user is not in the session
  OwnerStays          the owner cannot be added, changed or removed
  FileNotListed       the session has no file with this id
  PathRefused         the path is not allowed
  PathTaken           another file, or a folder, has the path, perhaps in another case
  EntryStays          the language determines the name of the entry file
  TooManyFiles        the session has reached its limit of files
  RevisionUnknown     no step of the history ends there
  RevisionPassed      the text has changed since the revision that the edit is based on
  TextTooLarge        one text, or all of a session's, would exceed the size limit
  ArchiveRefused      the zip cannot be imported; `detail` says why
  ArchiveTooLarge     the zip is, or unpacks to, more than a session can hold
  NothingSaid         a chat message without a visible character
  MessageTooLong      a chat message over CHAT_MAX_CHARACTERS
"""

from __future__ import annotations

from sessions_app.limits import CHAT_MAX_CHARACTERS, FILES_MAX, INVITES_MAX, PATH_MAX_BYTES, PATH_PARTS_MAX
from web.problems import Conflict, DomainError, Forbidden, Invalid, NotFound


class SessionNotFound(NotFound):
    code = "session_not_found"
    detail = "There is no such session, or you have no access to it."


class NotAllowed(Forbidden):
    code = "not_allowed"
    detail = "Your permission in this session does not allow this."


class SessionLocked(NotAllowed):
    code = "session_locked"
    detail = "A moderator has locked this session. It can be read but not changed."


class RunsFrozen(NotAllowed):
    code = "runs_frozen"
    detail = "A moderator has stopped programs in this session. The text can still be edited."


class StorageFull(NotAllowed):
    code = "storage_full"
    detail = "Nothing can be added to this session, because its owner has no storage left."


class DiskLow(StorageFull):
    code = "disk_low"
    status = 507
    detail = "The disk of this server is nearly full. Saved work is safe, but nothing can be added until there is room."


class TooManySessions(Conflict):
    code = "too_many_sessions"
    detail = "You have reached the limit of sessions."


class ClosedByModerator(NotAllowed):
    code = "closed_by_moderator"
    detail = "A moderator has closed this session. Only a moderator can bring it back."


class AlreadyReported(Conflict):
    code = "already_reported"
    detail = "You have already reported this session. The moderators will look at it."


class InviteNotFound(NotFound):
    code = "invite_not_found"
    detail = "This link does not work. It may have expired or been revoked: ask for a new one."


class GuestsNotAllowed(Forbidden):
    code = "guests_not_allowed"
    detail = "This session is only open to people with an account."


class TooManyGuests(Conflict):
    code = "too_many_guests"
    detail = "This session has reached its limit of guests. Try again later, or sign in."


class TooManyInvites(Conflict):
    code = "too_many_invites"
    detail = f"This session already has {INVITES_MAX} invite links. Revoke one first."


class PersonNotFound(Invalid):
    code = "person_not_found"
    detail = "There is no user with this name."


class NoCollaborator(NotFound):
    code = "not_in_session"
    detail = "This person is not in the session."


class OwnerStays(Conflict):
    code = "owner_stays"
    detail = "The owner of a session has every permission in it and cannot be added, changed or removed."


class FileNotListed(NotFound):
    code = "file_not_found"
    detail = "This session has no such file."


class PathRefused(Invalid):
    code = "path_refused"
    detail = (
        f"Use a relative path of at most {PATH_PARTS_MAX} parts and {PATH_MAX_BYTES} bytes, without . or .. as a part, "
        'without < > : " | ? * or backslashes, and without invisible characters.'
    )


class PathTaken(Conflict):
    code = "path_taken"
    detail = "There is already a file or folder with this name. Upper and lower case count as the same."


class EntryStays(Conflict):
    code = "entry_file_stays"
    detail = "The program starts in this file. The language determines its name, so it cannot be renamed or deleted."


class TooManyFiles(Conflict):
    code = "too_many_files"
    detail = f"A session can hold at most {FILES_MAX} files."


class RevisionUnknown(NotFound):
    code = "revision_unknown"
    detail = "No step of the history ends at this revision. Read the history again and use a `last_revision`."


class RevisionPassed(Conflict):
    code = "revision_passed"
    detail = "The text has changed since the revision you started from. Read it again and repeat your change."


class TextTooLarge(DomainError):
    code = "text_too_large"
    status = 413
    detail = "The text would be too large for a session."


class ArchiveRefused(Invalid):
    code = "archive_refused"
    detail = "This archive cannot be imported."


class ArchiveTooLarge(DomainError):
    code = "archive_too_large"
    status = 413
    detail = "The archive holds more than a session can."


class NothingSaid(Invalid):
    code = "nothing_said"
    detail = "A message needs at least one visible character."


class MessageTooLong(Invalid):
    code = "message_too_long"
    detail = f"A message can have at most {CHAT_MAX_CHARACTERS:,} characters."
