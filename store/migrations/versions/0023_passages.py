"""Embeddings of passages, kept by what they are of. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0023"
down_revision = "0022"

_OFFERED = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
_VECTORS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TABLE passage_vectors (batch BYTEA NOT NULL, number SMALLINT NOT NULL, vector halfvec NOT NULL, PRIMARY KEY (batch, number))",
    # compressing numbers that look like noise only costs time
    "ALTER TABLE passage_vectors ALTER COLUMN vector SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    """See `store/passages/`."""
    op.create_table(
        "embedded_batches",
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="a digest of tenant, model and texts"),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False, comment="provider/model"),
        sa.Column("size", sa.Integer(), nullable=False, comment="passages"),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False, comment="to the day"),
        sa.Column(
            "vectors",
            sa.LargeBinary(),
            nullable=True,
            comment="lengths and numbers; null: they are rows of passage_vectors",
        ),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("embedded_batches_used", "embedded_batches", ["used_at"])
    bind = op.get_bind()
    if bind.dialect.name != "sqlite" and bind.exec_driver_sql(_OFFERED).first() is not None:
        _vectors(bind)


def _vectors(bind: sa.Connection) -> None:
    """A role that may not make the extension leaves the database as it is: then it is searched in process."""
    try:
        with bind.begin_nested():
            for statement in _VECTORS:
                bind.exec_driver_sql(statement)
    except DBAPIError:
        return
