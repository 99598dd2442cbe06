"""What can go wrong with people and sign-in.

DomainError
  CredentialsRefused     the one answer to every sign-in that fails
  TokenRefused           not a token of ours, spent, revoked, or of somebody who may not sign in
    TokenExpired
  Invalid
    UsernameTaken
    EmailTaken
"""

from __future__ import annotations

from codecrafter.http.problems import DomainError, Invalid


class CredentialsRefused(DomainError):
    code = "invalid_credentials"
    status = 401
    detail = "That name and password do not match."


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
