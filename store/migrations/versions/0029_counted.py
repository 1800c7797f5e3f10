"""What waits is counted without reading it. The index of what may be claimed has one column more: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

_CLAIMABLE = sa.text("state = 'waiting' AND not_before = 0 AND behind = 0")
_BEHIND = sa.text("state = 'waiting' AND not_before = 0 AND behind > 0")


def upgrade() -> None:
    """See `store/ledger/backlog.py`."""
    op.drop_index("requests_claimable", "requests")
    op.create_index(
        "requests_claimable",
        "requests",
        ["provider", "model", "lane", "tenant", "due", "pk", "accepted_at"],
        sqlite_where=_CLAIMABLE,
        postgresql_where=_CLAIMABLE,
    )
    op.create_index(
        "requests_behind", "requests", ["behind", "accepted_at"], sqlite_where=_BEHIND, postgresql_where=_BEHIND
    )
