"""Errors of accounts and sign-in.

DomainError
  CredentialsRefused     the one answer to every failed sign-in
  CodeRequired           the password is correct and a second factor is on
    CodeRefused
  AccountSuspended       the password is correct, but a moderator has suspended the account
  EmailUnverified        the password is correct, but this installation requires a confirmed address
  ReauthenticationNeeded the sign-in is too old for this operation
    PasswordRefused
  TokenRefused           not issued here, spent, revoked, or of a user who may not sign in
    TokenExpired
  Invalid
    UsernameTaken
    EmailTaken
    GuestNameRefused
  TicketsUnavailable     the cache, which holds tickets, is unavailable
  TooMany                the user has reached the limit of tokens or bots
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from web.problems import Conflict, DomainError, Invalid

if TYPE_CHECKING:
    from django.http import HttpRequest


class CredentialsRefused(DomainError):
    code = "invalid_credentials"
    status = 401
    detail = "That name and password do not match."


class CodeRequired(DomainError):
    code = "code_required"
    status = 401
    detail = (
        "This account uses two-factor authentication. Send a code from your authenticator app, or a recovery code, "
        "as `code`."
    )


class CodeRefused(CodeRequired):
    code = "code_refused"
    detail = "This code is wrong or was already used."


class AccountSuspended(DomainError):
    code = "account_suspended"
    status = 403
    detail = "This account is suspended."


def refuse_suspended(request: HttpRequest) -> None:
    """Raise AccountSuspended if authenticate() refused for that reason. Call it afterwards."""
    refused = getattr(request, "suspension", None)
    if refused is not None:
        raise refused


class EmailUnverified(DomainError):
    code = "email_unverified"
    status = 403
    detail = "Confirm your email address first: follow the link in the email that was sent to it."


class ReauthenticationNeeded(DomainError):
    code = "reauthentication_required"
    status = 403
    detail = "Your sign-in is too old for this. Send your password as `current_password`."


class PasswordRefused(ReauthenticationNeeded):
    code = "password_refused"
    detail = "Wrong password. Nothing was changed."


class TokenRefused(DomainError):
    code = "token_not_valid"
    status = 401
    detail = "This token is not valid. Sign in again."


class TokenExpired(TokenRefused):
    detail = "This token has expired. Sign in again."


class UsernameTaken(Invalid):
    code = "username_taken"
    detail = "This username is taken."


class EmailTaken(Invalid):
    code = "email_taken"
    detail = "There is already an account with this email address."


class GuestNameRefused(Invalid):
    code = "guest_name_refused"
    detail = "Use 1 to 15 letters, digits, spaces, dots, dashes or underscores, beginning with a letter or a digit."


class TicketsUnavailable(DomainError):
    code = "tickets_unavailable"
    status = 503
    detail = "No tickets can be issued right now. Try again soon, or open the socket with an Authorization header."


class TooMany(Conflict):
    code = "too_many"
    detail = "You have reached the limit. Remove one first."
