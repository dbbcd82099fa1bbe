"""How Alembic runs a migration: on the connection it is given."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True, version_table="ledger_version")
context.run_migrations()
