"""What clinicians decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "clinician_decision",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("base", "patient", "launch", "act", "fhir_user", "at", "state")),
        sa.Column("answer", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String()) for name in ("careplan", "careplan_version", "decision", "regimen", "title", "reason")),
        *(sa.Column(name, sa.String()) for name in ("user_issuer", "user_subject", "display", "why", "written_version")),
        sqlite_autoincrement=True,
    )
    op.create_index("clinician_decision_by_patient", "clinician_decision", ["base", "patient", "number"])


def downgrade() -> None:
    op.drop_table("clinician_decision")
