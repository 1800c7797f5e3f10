"""By which route a request came, and until when it waits for its target. Only added: an older program goes on beside it, and
leaves such a row at its first target.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_MOVING = sa.text("move_at IS NOT NULL AND state = 'waiting' AND behind = 0")


def upgrade() -> None:
    """Null: the request named its model; it waits until it is answered."""
    op.add_column(
        "requests",
        sa.Column("route", sa.Text(), nullable=True, comment="JSON: its route's name, arm and targets that are left"),
    )
    op.add_column(
        "requests", sa.Column("move_at", sa.Double(), nullable=True, comment="then it goes to its next target")
    )
    op.create_table(
        "daily_savings",
        sa.Column("date", sa.Text(), primary_key=True, comment="UTC day, YYYY-MM-DD"),
        sa.Column("route", sa.Text(), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("saved_nano", sa.BigInteger(), nullable=False),
        comment="of requests that had time to wait for a cheaper model",
    )
    op.create_index("requests_moving", "requests", ["move_at"], sqlite_where=_MOVING, postgresql_where=_MOVING)
