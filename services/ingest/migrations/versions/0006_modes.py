"""How an answer was written: transaction, ordered, document, or page: not at all; Subscriptions that were restarted; long event numbers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("answer") as answer:
        answer.add_column(sa.Column("mode", sa.String()))
    with op.batch_alter_table("channel") as channel:
        channel.add_column(sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"))
        channel.add_column(sa.Column("restart_at", sa.String()))
        for number in ("last_event", "missing"):
            channel.alter_column(number, existing_type=sa.Integer(), type_=sa.BigInteger())


def downgrade() -> None:
    with op.batch_alter_table("channel") as channel:
        for number in ("last_event", "missing"):
            channel.alter_column(number, existing_type=sa.BigInteger(), type_=sa.Integer())
        channel.drop_column("restart_at")
        channel.drop_column("restarts")
    with op.batch_alter_table("answer") as answer:
        answer.drop_column("mode")
