"""An index of the calls that failed. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_FAILED = sa.text("outcome <> 'ok'")


def upgrade() -> None:
    """See `store/ledger/books.py`."""
    op.create_index(
        "executions_failed",
        "executions",
        ["closed_at", "tenant", "provider", "model", "outcome", "input_tokens", "cost_nano"],
        sqlite_where=_FAILED,
        postgresql_where=_FAILED,
    )
