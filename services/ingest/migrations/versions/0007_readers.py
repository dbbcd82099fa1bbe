"""By whose right an answer was read, and whether that right reached as far as ours; which answer a launch has looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table in ("answer", "in_hand"):
        with op.batch_alter_table(table) as kept:
            kept.add_column(sa.Column("reader", sa.String()))
            kept.add_column(sa.Column("whole", sa.Boolean(), nullable=False, server_default=sa.true()))
    with op.batch_alter_table("launch_session") as launch:
        launch.add_column(sa.Column("viewed", sa.Integer()))
    # Whose right it was is not known any more: nobody's, so that nobody else sees it.
    launched = """UPDATE {} SET reader = 'unknown' WHERE "case" IN (SELECT id FROM "case" WHERE launch IS NOT NULL)"""
    op.execute(launched.format("answer"))
    op.execute(launched.format("in_hand").replace("reader = 'unknown'", "reader = 'unknown', whole = false"))


def downgrade() -> None:
    with op.batch_alter_table("launch_session") as launch:
        launch.drop_column("viewed")
    for table in ("in_hand", "answer"):
        with op.batch_alter_table(table) as kept:
            kept.drop_column("whole")
            kept.drop_column("reader")
