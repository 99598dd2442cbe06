"""A text written over REST becomes a small edit: it is the wanted text, and what others typed meanwhile stays."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sessions_app.document import changes, texts
from sessions_app.document.updates import EMPTY_UPDATE, merge
from tests.realtime.test_compaction_keeps_everything import Author

# Neighbours in a surrogate pair, in a combined character, in a line end and in UTF-8's lengths differ by one unit.
PIECES = st.sampled_from(
    ["a", "b", "\n", "\r\n", "\r", "é", "e\u0301", "\u200d", "😀", "😁", "\U0001d4b3", "\U0010ffff"]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@settings(max_examples=150, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(TEXTS, TEXTS, st.lists(st.tuples(st.floats(0, 1), PIECES), max_size=4))
def test_server_edit_leads_to_its_text_and_keeps_what_others_typed(old, new, typed):
    """Everything typed is on the page afterwards, in whichever order the updates come."""
    seed = changes.seed(old, "main.py")
    change = changes.replacement(seed, new)
    assert texts.text_of(merge([seed, change or EMPTY_UPDATE])) == changes.normalise(new)
    author = Author(seed, 77)
    pieces = [changes.normalise(piece) for _, piece in typed]
    updates = [author.edit(share, 0, piece) for (share, _), piece in zip(typed, pieces, strict=True)]
    parts = [update for update in (change, *updates) if update is not None]
    seen = {texts.text_of(merge([seed, *order])) for order in itertools.islice(itertools.permutations(parts), 6)}
    assert len(seen) == 1
    (text,) = seen
    assert "\r" not in text
    plain = changes.normalise(new)
    assert Counter(text) == Counter(plain) + Counter("".join(pieces))
    position = 0
    for character in plain:
        position = text.index(character, position) + 1
