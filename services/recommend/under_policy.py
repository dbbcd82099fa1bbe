"""What a policy changes in the answer beyond order and thresholds, and what must then be said: whose policy it is, and how few is few."""

from __future__ import annotations

import msgspec

from services.recommend.policy import Policy
from shared.oncology.recommendation import Note
from shared.oncology.stage import Missing, Oligometastatic, Staging

DEFAULT = "default"


def counted(staging: Staging, policy: Policy) -> tuple[Staging, tuple[Note, ...]]:
    """Staging as the policy may use it, and what to say of that.

    Few metastases are counted by staging, under the definition that staging was told. Where the policy names another, staging's answer
    does not answer the policy's question: the fact is open, and the note says what to do.
    """
    notes = [] if policy.id == DEFAULT else [Note(text=f"Answered under the policy {policy.id}: {policy.title.rstrip('.')}.")]
    asked, found = policy.oligometastasis, staging.oligometastatic
    if asked is None or found.definition == asked.definition:
        return staging, tuple(notes)
    text = f'The policy counts few metastases as "{asked.definition}", and staging counted "{found.definition}": the count is not used. '
    notes.append(Note(text=f"{text}Have staging count by {asked.id}."))
    missing = (Missing("oligometastatic", f"Staging that counts few metastases by {asked.id}"),)
    uncounted = Oligometastatic(value=None, definition=asked.definition, reference=asked.id, missing=missing)
    return msgspec.structs.replace(staging, oligometastatic=uncounted), tuple(notes)
