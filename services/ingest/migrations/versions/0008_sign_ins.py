"""From which network of clients a sign-in was begun, as a keyed hash: where too many are under way, its own make way first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("sign_in") as sign_in:
        sign_in.add_column(sa.Column("network", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("sign_in") as sign_in:
        sign_in.drop_column("network")
