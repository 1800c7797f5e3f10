"""Runs, and indexes by which their items are counted and read in order. Only added, but for an index that one of these replaces.

A migration is one list of statements, read from top to bottom; that is why `upgrade` is long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_INDEXES = {
    "requests_run_items": (["run_id", "pk"], "run_id IS NOT NULL"),
    "requests_run_open": (["run_id"], "run_id IS NOT NULL AND completed_at IS NULL"),
    "requests_run_bad": (["run_id", "state"], "run_id IS NOT NULL AND state IN ('failed', 'cancelled', 'expired')"),
}


def upgrade() -> None:
    """See `store/runs/`."""
    op.create_table(
        "runs",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "said",
            sa.LargeBinary(),
            nullable=False,
            comment="JSON: what is told of the request: metadata, options, webhook",
        ),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="items so far; all of them once it is sealed"),
        sa.Column("fed", sa.BigInteger(), nullable=False, comment="how many of them are requests"),
        sa.Column("sealed", sa.Boolean(), nullable=False, comment="no more items come"),
        sa.Column("owner", sa.Text(), nullable=True, comment="the worker that feeds and counts it"),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("stopped", sa.BigInteger(), server_default="0", nullable=False, comment="cancelled or expired items"),
        sa.Column("cost_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_table(
        "run_parts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False, comment="number of its first item, from 0"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="JSON Lines, zlib; gone when they are requests"),
        sa.PrimaryKeyConstraint("tenant", "run_id", "first"),
    )
    op.create_index("runs_created", "runs", ["tenant", "created_at", "id"])
    keyed, open_ = sa.text("idempotency_key IS NOT NULL"), sa.text("ended_at IS NULL")
    op.create_index(
        "runs_key", "runs", ["tenant", "idempotency_key"], unique=True, sqlite_where=keyed, postgresql_where=keyed
    )
    op.create_index("runs_open", "runs", ["created_at"], sqlite_where=open_, postgresql_where=open_)
    for name, (columns, words) in _INDEXES.items():
        where = sa.text(words)
        op.create_index(name, "requests", columns, sqlite_where=where, postgresql_where=where)
    op.drop_index("requests_run", "requests")
