"""Which request has taken a request's place. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_STANDING = sa.text("supersede_key IS NOT NULL AND superseded_by IS NULL")


def upgrade() -> None:
    """The index holds one row per key: the one that stands."""
    op.add_column(
        "requests",
        sa.Column("superseded_by", sa.Text(), nullable=True, comment="the id of the newer one of its supersede_key"),
    )
    op.create_index(
        "requests_standing",
        "requests",
        ["supersede_key", "tenant", "operation"],
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
