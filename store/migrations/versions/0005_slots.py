"""Limits that all processes obey, and which model a node is for. Only added: an older program goes on beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_LEAVING = sa.text("owner IS NOT NULL AND NOT open")


def upgrade() -> None:
    """The new tables are empty while no provider refuses anything and no setting bounds it."""
    op.add_column(
        "slots",
        sa.Column(
            "open",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("true"),
            comment="false: the node is another model's",
        ),
    )
    op.add_column("slots", sa.Column("opened_at", sa.Double(), nullable=False, server_default="0"))
    op.create_index("slots_leaving", "slots", ["owner"], sqlite_where=_LEAVING, postgresql_where=_LEAVING)
    op.create_table(
        "pool_limits",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("paused_until", sa.Double(), nullable=False, comment="the provider asked all of us to wait"),
        sa.Column(
            "ceiling", sa.Double(), nullable=True, comment="calls in flight at most; null: the slots are the bound"
        ),
        sa.Column("cut_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "model"),
        comment="pools that their provider has limited; empty when none is",
    )
    op.create_table(
        "doors",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="refusals in a row; from five on it is shut"),
        sa.Column("shut_until", sa.Double(), nullable=False, comment="from then on one call may try it"),
        sa.PrimaryKeyConstraint("provider", "node"),
        comment="nodes that refused lately; empty when none did",
    )
    op.create_table(
        "quotas",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False, comment="minutes since 1970"),
        sa.Column(
            "calls",
            sa.BigInteger(),
            nullable=False,
            comment="lent to processes in blocks, whether they were made or not",
        ),
        sa.Column("tokens", sa.BigInteger(), nullable=False, comment="the same, in upper estimates"),
        sa.PrimaryKeyConstraint("provider", "model", "minute"),
        comment="pools whose calls or tokens a minute are bounded by a setting",
    )
