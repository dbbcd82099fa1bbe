"""CDS Hooks: tokens seen, and what became of cards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table("hook_token", sa.Column("token", sa.String(), primary_key=True), *_texts("until"))
    op.create_index("hook_token_by_end", "hook_token", ["until"])
    op.create_table("hook_card", sa.Column("id", sa.String(), primary_key=True), *_texts("client", "service", "kind", "issued"))
    op.create_index("hook_card_by_service", "hook_card", ["service", "kind"])
    op.create_table(
        "hook_feedback",
        *(sa.Column(name, sa.String(), primary_key=True) for name in ("client", "card", "outcome", "at")),
        *_texts("service", "received"),
        *(sa.Column(name, sa.String()) for name in ("reason", "comment")),
    )
    op.create_index("hook_feedback_by_service", "hook_feedback", ["service", "received"])


def downgrade() -> None:
    for table in ("hook_feedback", "hook_card", "hook_token"):
        op.drop_table(table)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]
