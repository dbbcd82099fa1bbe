"""The launches of the clinician's page: pending sign-ins and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "sign_in",
        sa.Column("state", sa.String(), primary_key=True),
        *_texts("browser", "base", "created"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("used", sa.String()),
    )
    op.create_index("sign_in_by_time", "sign_in", ["created"])
    op.create_table(
        "launch_session",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("browser", "base", "patient", "scopes", "csrf", "created", "seen", "ends"),
        *(sa.Column(name, sa.String()) for name in ("encounter", "user_issuer", "user_subject", "fhir_user", "case", "claimed")),
        sa.Column("need_patient_banner", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
    )
    op.create_index("launch_session_by_end", "launch_session", ["ends"])
    with op.batch_alter_table("case") as case:
        case.add_column(sa.Column("launch", sa.String()))


def downgrade() -> None:
    with op.batch_alter_table("case") as case:
        case.drop_column("launch")
    for table in ("launch_session", "sign_in"):
        op.drop_table(table)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]
