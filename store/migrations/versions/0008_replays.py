"""Replays: what was chosen and how far each is. Only added: an older program goes on beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_OPEN = sa.text("replay_pk IS NOT NULL AND cost_nano IS NULL")


def upgrade() -> None:
    """See `store/ledger/replays.py`."""
    op.create_table(
        "replays",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False, comment="again, recorded, anew"),
        sa.Column(
            "chosen", sa.LargeBinary(), nullable=False, comment="JSON: which requests; see store/ledger/chosen.py"
        ),
        sa.Column("options", sa.LargeBinary(), nullable=False, comment="JSON: what is asked otherwise than before"),
        sa.Column("cursor", sa.BigInteger(), nullable=False, comment="the last request that was dealt with"),
        sa.Column("budget_nano", sa.BigInteger(), nullable=True),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True, comment="null: it can be gone on with"),
        sa.PrimaryKeyConstraint("run"),
    )
    op.create_table(
        "replay_items",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("request_pk", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False, comment="of the original, when it was asked anew"),
        sa.Column("replay_pk", sa.BigInteger(), nullable=True, comment="null: left out, for the budget"),
        sa.Column(
            "estimate_nano",
            sa.BigInteger(),
            nullable=True,
            comment="what it may cost at most; null: nothing prices it",
        ),
        sa.Column("cost_nano", sa.BigInteger(), nullable=True, comment="null: it has not ended"),
        sa.PrimaryKeyConstraint("run", "request_pk"),
    )
    op.create_index("replay_items_open", "replay_items", ["run"], sqlite_where=_OPEN, postgresql_where=_OPEN)
