"""Calls that wait in a provider's batch, and what cheaper tiers have saved. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """See `store/ledger/batches.py`."""
    op.create_table(
        "daily_tiers",
        sa.Column("date", sa.Text(), nullable=False, comment="UTC day, YYYY-MM-DD"),
        sa.Column("tier", sa.Text(), nullable=False, comment="flex, batch"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("saved_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("date", "tier", "provider", "model", "tenant"),
        comment="of requests that had time for a cheaper tier of their provider",
    )
    _batches()
    _items()


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False, comment="our marker, which the provider is told"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="chat, embed"),
        sa.Column("state", sa.Text(), nullable=False, comment="gathered, sent, ended"),
        sa.Column(
            "owner", sa.Text(), nullable=False, comment="the worker that looks after it; of a dead one anybody takes it"
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="more with each owner"),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("first_sent_at", sa.Double(), nullable=True, comment="from then on the provider may have it"),
        sa.Column("sent_at", sa.Double(), nullable=True, comment="the last try to hand it over"),
        sa.Column("remote_id", sa.Text(), nullable=True, comment="as the provider calls it"),
        sa.Column(
            "proven",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="that remote_id is this batch",
        ),
        sa.Column(
            "not_these",
            sa.Text(),
            nullable=True,
            comment="JSON: of the provider's batches those that were taken for it and are not",
        ),
        sa.Column("due_at", sa.Double(), nullable=True, comment="then what was not run must be asked for elsewhere"),
        sa.Column("stopped_at", sa.Double(), nullable=True, comment="when the provider was asked to run no more of it"),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("said", sa.Text(), nullable=True, comment="what went wrong last"),
        sa.PrimaryKeyConstraint("id"),
        comment="calls handed over to a provider's batch API",
    )
    open_ = sa.text("ended_at IS NULL")
    op.create_index("batches_open", "batches", ["made_at"], sqlite_where=open_, postgresql_where=open_)


def _items() -> None:
    op.create_table(
        "batch_items",
        sa.Column("call_id", sa.Text(), nullable=False, comment="the journal's; the provider gives it back"),
        sa.Column("request_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of the lease that made it"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "bucket",
            sa.Integer(),
            nullable=False,
            comment="items whose deadlines are about as far away share a batch",
        ),
        sa.Column("due_at", sa.Double(), nullable=True, comment="then it must be asked for elsewhere"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True, comment="null: it waits for others to go with it"),
        sa.PrimaryKeyConstraint("call_id"),
        comment="calls that are, or will be, in a batch; gone when the batch has ended",
    )
    op.create_index("batch_items_batch", "batch_items", ["batch_id"])
    loose = sa.text("batch_id IS NULL")
    op.create_index("batch_items_loose", "batch_items", ["at"], sqlite_where=loose, postgresql_where=loose)
