"""Notifications and sweeps: what came, what has to be looked up, how far a server was asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("due") as due:
        due.add_column(sa.Column("marks", sa.Integer(), nullable=False, server_default="1"))
    op.create_index("case_by_patient", "case", ["base", "patient", "id"])
    op.create_table("notice", *_key("reference"), sa.Column("marked", sa.String(), nullable=False))
    op.create_table("seen", *_key("version"), sa.Column("at", sa.String(), nullable=False))
    op.create_index("seen_by_time", "seen", ["at"])
    op.create_table("sweep", *_key(), *(sa.Column(name, sa.String()) for name in ("wanted", "swept", "failed")))
    op.create_table("cursor", *_key("type"), sa.Column("until", sa.String(), nullable=False))
    op.create_table(
        "channel",
        *_key("name"),
        *(sa.Column(name, sa.String()) for name in ("heard", "subscription", "status", "ends")),
        *(sa.Column(name, sa.Integer()) for name in ("last_event", "missing", "heartbeat")),
    )


def downgrade() -> None:
    for table in ("channel", "cursor", "sweep", "seen", "notice"):
        op.drop_table(table)
    op.drop_index("case_by_patient", "case")
    with op.batch_alter_table("due") as due:
        due.drop_column("marks")


def _key(*more: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), primary_key=True) for name in ("base", *more)]
