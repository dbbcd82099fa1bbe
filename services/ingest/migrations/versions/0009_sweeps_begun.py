"""When a sweep began, so that a wish that comes during one is told from the wish that it fulfils."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("sweep", sa.Column("begun", sa.String()))


def downgrade() -> None:
    with op.batch_alter_table("sweep") as sweep:
        sweep.drop_column("begun")
