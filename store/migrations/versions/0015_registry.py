"""The registry of prompts. Only added: an older program goes on beside it.

A migration is one list of statements, read from top to bottom; that is why `_versions_and_labels` is long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """See `store/registry/`."""
    op.create_table(
        "prompts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False, comment="empty: it comes with the program"),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False, comment="a JSON list"),
        sa.Column("is_system", sa.Boolean(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False, comment="other tenants may use it by its id"),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("archived_at", sa.Double(), nullable=True),
        sa.Column("latest", sa.Integer(), nullable=False, comment="the newest version"),
        sa.Column("revision", sa.Integer(), nullable=False, comment="counts every change; what If-Match names"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("prompts_slug", "prompts", ["tenant", "slug"], unique=True)
    op.create_index("prompts_updated", "prompts", ["updated_at", "id"])
    _versions_and_labels()
    op.create_index(
        "executions_prompt", "executions", ["prompt", "opened_at"], sqlite_where=_PROMPTED, postgresql_where=_PROMPTED
    )


_PROMPTED = sa.text("prompt IS NOT NULL")


def _versions_and_labels() -> None:
    op.create_table(
        "prompt_versions",
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "body", sa.LargeBinary(), nullable=False, comment="JSON: templates, variables, schemas, preferences, notes"
        ),
        sa.Column(
            "source",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON: the templates as they were written, where they include others",
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Integer(), nullable=True, comment="its number in the file that it comes from"),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "version"),
    )
    op.create_table(
        "prompt_labels",
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("arms", sa.Text(), nullable=False, comment="a JSON list of [version, weight]"),
        sa.Column("moved_at", sa.Double(), nullable=False),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "label"),
    )
    op.create_table(
        "prompt_moves",
        sa.Column("pk", _BIG, autoincrement=True, nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True, comment="arms; null: it was not there"),
        sa.Column("after", sa.Text(), nullable=True, comment="arms; null: it was taken away"),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("prompt_moves_label", "prompt_moves", ["prompt_id", "label", "at"])
    op.create_table(
        "revisions",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="counts every change of it, so that a look at it is cheap",
        ),
        sa.PrimaryKeyConstraint("what"),
    )
