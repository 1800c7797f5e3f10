"""Which state of the registry a run was accepted with. Only added: an older program goes on beside it, whose moves, versions and
runs count as they did before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_SINCE = "of the registry, which had it from then on; 0: from before they were kept"


def upgrade() -> None:
    """See `store/registry/read.py`."""
    for table in ("prompt_versions", "prompt_moves"):
        op.add_column(table, sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False, comment=_SINCE))
        op.create_index(f"{table}_revision", table, ["revision"])
    op.add_column(
        "prompts",
        sa.Column(
            "archived_revision", sa.BigInteger(), nullable=True, comment="of the registry, by which it was put away"
        ),
    )
    op.add_column(
        "runs",
        sa.Column(
            "prompts_revision",
            sa.BigInteger(),
            nullable=True,
            comment="of the registry, when it was accepted; null: by an older program",
        ),
    )
