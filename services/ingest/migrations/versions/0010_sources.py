"""Which resources each patient's last answer rests on, so that one that moves to another is missed; filled from the answers there are."""

from __future__ import annotations

import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    names = ("base", "reference", "patient")
    source = op.create_table("source", *(sa.Column(name, sa.String(), primary_key=True) for name in names))
    op.create_index("source_by_patient", "source", ["base", "patient"])
    connection = op.get_bind()
    last = connection.execute(sa.text("SELECT max(id) FROM answer WHERE whole GROUP BY base, patient")).scalars().all()
    asked = sa.text("SELECT base, patient, record FROM answer WHERE id = :id")
    for id in last:
        base, patient, record = connection.execute(asked, {"id": id}).one()
        told = _told(record)
        if told:
            op.bulk_insert(source, [dict(zip(names, (base, reference, patient), strict=True)) for reference in told])


def _told(record: bytes) -> list[str]:
    try:
        findings = json.loads(zlib.decompress(bytes(record)))["findings"]
        return list(dict.fromkeys(finding["source"] for finding in findings))
    except (zlib.error, ValueError, LookupError, TypeError):
        return []  # of a release long gone: the next answer tells


def downgrade() -> None:
    op.drop_table("source")
