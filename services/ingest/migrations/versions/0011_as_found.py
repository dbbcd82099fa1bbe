"""How the plan of an answer stood on its server, and which earlier ones a person's touch left open beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("answer", sa.Column("careplan_status", sa.String()))
    op.add_column("answer", sa.Column("left_open", sa.String()))


def downgrade() -> None:
    with op.batch_alter_table("answer") as answer:
        answer.drop_column("left_open")
        answer.drop_column("careplan_status")
