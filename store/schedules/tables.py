"""The table of schedules."""

from sqlalchemy import BigInteger, Boolean, Column, Double, LargeBinary, Table, Text

from store.tables import metadata

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("source", Text, nullable=False, comment="file, api"),
    Column("said", LargeBinary, nullable=False, comment="JSON: see schemas/schedules.py"),
    Column("paused", Boolean, nullable=False),
    Column(
        "next_at", Double, comment="the first planned firing that nobody has looked at; null: paused, or never again"
    ),
    Column("queued_at", Double, comment="a planned firing that waits for the end of the run before"),
    Column("last_planned_at", Double),
    Column("last_fired_at", Double),
    Column("last_tenant", Text),
    Column("last_run_id", Text),
    Column("fired", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False, comment="left out since the run before went on"),
    Column("missed", BigInteger, nullable=False, comment="fell due while nobody ran"),
    Column("failed", BigInteger, nullable=False, comment="could not be submitted"),
    Column("error", Text, comment="why the last firing could not be submitted"),
    Column("version", BigInteger, nullable=False, comment="another number after each change"),
    Column("made_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
)
