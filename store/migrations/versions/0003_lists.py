"""Indexes for lists, counts and the books. Only added: an older program goes on beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_RUN = sa.text("run_id IS NOT NULL")
_CLOSED = sa.text("closed_at IS NOT NULL")


def upgrade() -> None:
    """Each list has an index in its own order; see `store/ledger/pages.py`."""
    op.create_index("requests_accepted", "requests", ["accepted_at", "pk"])
    op.create_index("requests_state", "requests", ["state", "accepted_at", "pk", "lane"])
    op.create_index("requests_tenant", "requests", ["tenant", "accepted_at", "pk"])
    op.create_index("requests_operation", "requests", ["operation", "accepted_at", "pk"])
    op.create_index(
        "requests_run_accepted",
        "requests",
        ["run_id", "accepted_at", "pk"],
        sqlite_where=_RUN,
        postgresql_where=_RUN,
    )
    op.create_index("results_completed", "results", ["completed_at", "status"])
    op.create_index("executions_closed", "executions", ["closed_at"], sqlite_where=_CLOSED, postgresql_where=_CLOSED)
