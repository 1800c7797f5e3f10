"""By which route a request came. Only added: an older program goes on beside it, and leaves such a row at its first target."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0009"


def upgrade() -> None:
    """Null: the request named its model."""
    op.add_column(
        "requests",
        sa.Column("route", sa.Text(), nullable=True, comment="JSON: its route's name, arm and targets that are left"),
    )
