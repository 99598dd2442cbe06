"""What can be wrong with a request about a run. A program that fails is no error: it is the run's final state.

DomainError (web/problems.py)
  RunNotFound            absent, or not for you
  LanguageUnavailable    known, but no worker here can run it
  TooManyRuns            this person already has as many waiting or running as they may
  NothingToType          the run takes no input (any more)
  TooMuchInput           more was typed into the run than it may be given
  IdempotencyKeyReused   the same key came with another request
"""

from __future__ import annotations

from web.problems import Conflict, DomainError, NotFound


class RunNotFound(NotFound):
    code = "run_not_found"
    detail = "There is no such run, or you have no access to it."


class LanguageUnavailable(DomainError):
    code = "language_unavailable"
    status = 503


class TooManyRuns(DomainError):
    code = "too_many_runs"
    status = 429


class NothingToType(Conflict):
    code = "takes_no_input"
    detail = "This run takes no input: it has ended, or it was not started as interactive."


class TooMuchInput(DomainError):
    code = "too_much_input"
    status = 413
    detail = "A run takes 1 MB of typed input at most."


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"
    status = 422
    detail = "This Idempotency-Key came before with another request. Use a new key for a new run."
