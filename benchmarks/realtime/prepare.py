"""Makes people and sessions in the server's database: `prepare.py ROOMS PEOPLE [DOCUMENT]`, run with its environment.

Prints {"rooms": [...], "tokens": [...]}. With DOCUMENT, the first session holds that update as its snapshot.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codecrafter.settings")

import django

django.setup()

import languages
from accounts import tokens
from accounts.models import User
from sessions_app import actions
from sessions_app.document import rewrite, update_log, updates
from sessions_app.models import Collaborator, Document, Snapshot, Update

mark = os.urandom(4).hex()
rooms, people = int(sys.argv[1]), int(sys.argv[2])
users = [User.objects.create(username=f"p{mark}{n}", email=f"p{mark}{n}@example.org") for n in range(people)]
sessions = [
    actions.create_session(users[0], language=languages.get("python"), title="Bench", content="") for _ in range(rooms)
]
Collaborator.objects.bulk_create(
    Collaborator(session=session, user=user, permission="write") for session in sessions for user in users[1:]
)
if len(sys.argv) > 3:
    payload = updates.merge([update_log.load(sessions[0].pk).update, Path(sys.argv[3]).read_bytes()])
    Update.objects.create(document_id=sessions[0].pk, seq=2, payload=payload, user=users[0], origin="socket")
    Document.objects.filter(pk=sessions[0].pk).update(head=2)
    # As the compaction of a document leaves it.
    Snapshot.objects.create(document_id=sessions[0].pk, seq=2, payload=rewrite.compact([payload]))
print(
    json.dumps(
        {"rooms": [str(session.pk) for session in sessions], "tokens": [tokens.issue(user).access for user in users]}
    )
)
