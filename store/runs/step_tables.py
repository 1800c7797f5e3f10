"""What a pipeline's run holds beside its row: its definition and inputs, its steps, and what functions gave."""

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, Table, Text

from store.tables import metadata

run_plans = Table(
    "run_plans",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="JSON, zlib: the definition as it was then, and the inputs"),
)
run_steps = Table(
    "run_steps",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False, comment="its place in the definition, from 0"),
    Column("use", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("total", BigInteger, comment="items; null: not known before it begins"),
    Column("fed", BigInteger, nullable=False, server_default="0", comment="how many of them are requests, or done"),
    Column(
        "passed", BigInteger, nullable=False, server_default="0", comment="of these: for which there was nothing to do"
    ),
    Column("succeeded", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0", comment="cancelled and expired ones too"),
    Column("cost_nano", BigInteger, nullable=False, server_default="0"),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("error", Text, comment="why it failed"),
    Column("error_type", Text),
    Column("started_at", Double),
    Column("ended_at", Double),
)
run_outputs = Table(
    "run_outputs",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("step", Text, primary_key=True, comment="empty: the run's own result"),
    Column("number", BigInteger, primary_key=True, comment="of the item, from 0"),
    Column("body", LargeBinary, nullable=False, comment="JSON, zlib"),
)
