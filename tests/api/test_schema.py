"""The schema and the server against each other: whatever is sent, there is no 500, and each answer is a documented one.

A few examples of every call with every change, the same ones each time. API_EXAMPLES=200 sends that many, other ones
each time; `make chaos` does.
"""

from __future__ import annotations

import os
import uuid

import pytest
import requests
import schemathesis
from django.db import transaction
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import languages
from accounts import actions as people
from accounts.models import Scope
from execution.models import AvailableLanguage, Run
from sessions_app import actions
from sessions_app.models import Invite

EXAMPLES = int(os.environ.get("API_EXAMPLES", "0"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Headers that the client sends for itself: who is asking stays as it is.
OURS = {"accept-encoding", "authorization", "content-length", "content-type", "cookie", "host"}
MODES = {"valid": GenerationMode.POSITIVE, "invalid": GenerationMode.NEGATIVE}


@pytest.fixture(scope="module")
def operations():
    """Every call of the schema by its operationId."""
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.fixture
def ids(session, alice, bob, mallory):
    """For each parameter of a path: what Alice has, what is somebody else's, and what nobody has."""
    AvailableLanguage.objects.create(key="python", version="3.11", checked_at=timezone.now())
    foreign = actions.create_session(mallory, language=languages.get("python"), title="Foreign")
    public = actions.create_session(mallory, language=languages.get("c"), title="Public", is_public=True)
    archived = actions.create_session(alice, language=languages.get("c"), title="Archived")
    archived.archived_at = timezone.now()
    archived.save()
    runs = [Run.objects.create(session=session, user=alice, language="python", interactive=True)]
    runs += [Run.objects.create(session=foreign, user=mallory, language="python")]
    nobodys = str(uuid.uuid4())
    token, _ = people.make_token(alice, name="a token", scopes=[Scope.READ])
    bot = people.make_bot(alice, "a-bot")
    invites = [
        Invite.objects.create(session=one, token_sha256=one.pk.hex, created_by=alice) for one in (session, foreign)
    ]
    return {
        "session_id": [str(one.pk) for one in (session, session, public, foreign, archived)] + [nobodys],
        "job_id": [*(str(run.pk) for run in runs), nobodys],
        "user_id": [str(bob.pk), str(mallory.pk), nobodys],
        "invite_id": [*(str(invite.pk) for invite in invites), nobodys],
        "file_id": ["main", f"f_{uuid.uuid4().hex}"],
        "token_id": [str(token.pk), nobodys],
        "bot_id": [str(bot.pk), nobodys],
        "revision": [1, 2, 0, 10**18],
    }


def answered(client, case):
    """What the server answers, in the terms of a client library, with what was sent."""
    sent = requests.Request(**_plain(case.as_transport_kwargs(base_url="http://testserver"))).prepare()
    headers = {name: _text(value) for name, value in sent.headers.items() if name.lower() not in OURS}
    content_type = _text(sent.headers.get("Content-Type", "application/octet-stream"))
    answer = client.generic(sent.method, sent.path_url, sent.body or b"", content_type=content_type, headers=headers)
    told = {name: [value] for name, value in answer.headers.items()}
    return Response(answer.status_code, told, answer.content, sent, elapsed=0.0, verify=True, encoding="utf-8")


def _text(value):
    return value if isinstance(value, str) else value.decode("latin-1")


def _plain(kwargs):
    return {name: kwargs[name] for name in ("method", "url", "headers", "params", "json", "data") if name in kwargs}


def walk(operation, mode, client, ids, most):
    """Send examples of one call, each against the same state."""
    mine = {name: st.sampled_from(ids[name]) for name in ids if f"{{{name}}}" in operation.path}

    @settings(
        max_examples=EXAMPLES or most,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), chosen=st.fixed_dictionaries(mine))
    def send(case, chosen):
        # An id of ours; what the schema makes up is one that nobody has.
        case.path_parameters = {**case.path_parameters, **chosen}
        with transaction.atomic():
            response = answered(client, case)
            transaction.set_rollback(True)
        case.validate_response(response, checks=CHECKS)

    send()


@pytest.mark.parametrize("who", ["alice", "nobody"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.slow
def test_every_answer_is_documented_and_none_is_a_500(mode, who, operations, ids, api, alice):
    client = api(alice if who == "alice" else None)
    client.raise_request_exception = False
    failures = []
    for name, operation in operations.items():
        try:
            walk(operation, MODES[mode], client, ids, most=4 if who == "alice" else 1)
        except Unsatisfiable:
            # There is no wrong way to send a request without parameters.
            continue
        except FailureGroup as group:
            failures.append(f"{name}: {group}")
    assert not failures, "\n\n".join(failures)
