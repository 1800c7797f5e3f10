"""What a row's turn depends on. An older program goes on beside it: its rows are due at once, and its claims slower."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_CLAIMABLE = sa.text("state = 'waiting' AND not_before = 0")
_REALTIME = sa.text("lane + 0 = 0")


def upgrade() -> None:
    """Rows that wait already are due before those that come: they have waited longest."""
    op.add_column(
        "requests",
        sa.Column(
            "due",
            sa.Double(),
            nullable=False,
            server_default="0",
            comment="its deadline or the end of its patience, what is sooner",
        ),
    )
    op.add_column(
        "requests",
        sa.Column("weight", sa.Integer(), nullable=False, server_default="0", comment="tokens it may take, guessed"),
    )
    op.drop_index("requests_claimable", "requests")
    op.create_index(
        "requests_claimable",
        "requests",
        ["provider", "model", "lane", "tenant", "due", "pk"],
        sqlite_where=_CLAIMABLE,
        postgresql_where=_CLAIMABLE,
    )
    op.create_index(
        "requests_realtime",
        "requests",
        ["provider", "model", "accepted_at"],
        sqlite_where=_REALTIME,
        postgresql_where=_REALTIME,
    )
