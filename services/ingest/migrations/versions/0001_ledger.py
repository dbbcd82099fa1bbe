"""The first ledger: cases, what they have in hand, answers, and patients who are due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "case",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("as_of", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened", sa.String(), nullable=False),
        sa.Column("updated", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queued", sa.Boolean(), nullable=False),
        sa.Column("retry_at", sa.String()),
        sa.Column("outcome", sa.String()),
        sa.Column("answer", sa.Integer()),
    )
    op.create_index("case_by_state", "case", ["state", "id"])
    op.create_table(
        "in_hand",
        sa.Column("case", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("staging", sa.LargeBinary()),
        sa.Column("recommendation", sa.LargeBinary()),
    )
    op.create_table(
        "answer",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("case", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("answered", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("staging_knowledge", sa.String(), nullable=False),
        sa.Column("recommend_knowledge", sa.String(), nullable=False),
        sa.Column("careplan", sa.String()),
        sa.Column("careplan_version", sa.String()),
        sa.Column("decision", sa.String()),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("staging", sa.LargeBinary(), nullable=False),
        sa.Column("recommendation", sa.LargeBinary(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("answer_by_patient", "answer", ["base", "patient", "id"])
    op.create_table(
        "due",
        sa.Column("base", sa.String(), primary_key=True),
        sa.Column("patient", sa.String(), primary_key=True),
        sa.Column("marked", sa.String(), nullable=False),
    )


def downgrade() -> None:
    for table in ("due", "answer", "in_hand", "case"):
        op.drop_table(table)
