"""When pools were used last. Only added: an older program goes on beside it."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """See `store/ledger/unused.py`. What has slots counts as used now."""
    pools = op.create_table(
        "pools",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False, comment="to some seconds; later what is unused goes"),
        sa.Column("answered", sa.Boolean(), nullable=False, comment="a call of it has been answered since it is there"),
        sa.PrimaryKeyConstraint("provider", "model"),
        comment="whatever has slots",
    )
    slots = sa.table("slots", sa.column("provider", sa.Text()), sa.column("model", sa.Text()))
    told = sa.select(slots.c.provider, slots.c.model, sa.literal(time.time()), sa.true()).distinct()
    op.execute(pools.insert().from_select(["provider", "model", "used_at", "answered"], told))
