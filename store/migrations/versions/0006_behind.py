"""Rows that wait for other rows, and answers that serve others. Only added: an older program goes on beside them.

An older program claims rows that wait for others, since it does not know of them; so it must not run beside a newer one
for longer than a deployment takes.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_CLAIMABLE = "state = 'waiting' AND not_before = 0"
_COLUMNS: tuple[sa.Column[Any], ...] = (
    sa.Column(
        "behind",
        sa.SmallInteger(),
        nullable=False,
        server_default="0",
        comment="what it waits for; see ledger/behind.py",
    ),
    sa.Column("order_key", sa.LargeBinary(), nullable=True, comment="rows of one go one after another, by turn"),
    sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("idem", sa.LargeBinary(), nullable=True, comment="of the one row that leads its idempotency key"),
    sa.Column(
        "followers", sa.Integer(), nullable=False, server_default="0", comment="at most so many wait for its end"
    ),
    sa.Column(
        "fingerprint", sa.LargeBinary(), nullable=True, comment="what decides the answer, while it may serve others"
    ),
    sa.Column("answer_bytes", sa.Integer(), nullable=True, comment="of a result that the cache may give"),
    sa.Column(
        "alone",
        sa.Boolean(),
        nullable=False,
        server_default=sa.text("false"),
        comment="only its HTTP caller waits for it",
    ),
)
_INDEXES = (
    ("requests_queued", ["order_key", "turn"], False, "order_key IS NOT NULL AND completed_at IS NULL"),
    ("requests_head", ["order_key"], True, "order_key IS NOT NULL AND completed_at IS NULL AND behind = 0"),
    ("requests_idem", ["idem"], True, "idem IS NOT NULL"),
    ("requests_follows", ["follows"], False, "follows IS NOT NULL AND completed_at IS NULL"),
    ("requests_live", ["fingerprint"], False, "fingerprint IS NOT NULL AND behind = 0"),
    (
        "requests_cached",
        ["completed_at", "answer_bytes"],
        False,
        "fingerprint IS NOT NULL AND completed_at IS NOT NULL",
    ),
)


def upgrade() -> None:
    """What is claimable has one more condition, and its index the same words."""
    for column in _COLUMNS:
        op.add_column("requests", column)
    op.drop_index("requests_claimable", "requests")
    _index(
        "requests_claimable",
        ["provider", "model", "lane", "tenant", "due", "pk"],
        False,
        f"{_CLAIMABLE} AND behind = 0",
    )
    for name, columns, unique, where in _INDEXES:
        _index(name, columns, unique, where)


def _index(name: str, columns: list[str], unique: bool, where: str) -> None:
    op.create_index(
        name, "requests", columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
