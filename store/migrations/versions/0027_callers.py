"""Which process holds the connection of a request's HTTP caller. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Whose process has died has left: see `store/ledger/life.py`."""
    column = sa.Column("caller", sa.Text(), nullable=True, comment="the process that its only HTTP caller waits at")
    op.add_column("requests", column)
