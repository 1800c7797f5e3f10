"""Budgets, how they move, and what has become of them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, SmallInteger, Table, Text, UniqueConstraint, text

from store.tables.base import PK, metadata

budgets = Table(
    "budgets",
    metadata,
    Column("id", PK, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False, comment="whose requests; empty: everybody's"),
    Column("key_id", Text, nullable=False, comment="empty: whatever key brought them"),
    Column("model", Text, nullable=False, comment="provider/model or provider/*; empty: any"),
    Column("run_id", Text, nullable=False, comment="empty: of any run or none"),
    Column("period", Text, nullable=False, comment="day, month, total"),
    Column("limit_nano", BigInteger, nullable=False),
    Column("hard", Boolean, nullable=False, comment="false: it only counts"),
    Column("unpriced", Boolean, nullable=False, comment="lets calls pass that nothing prices"),
    Column("since", Double, nullable=False, comment="when the period began that is counted here"),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("overrun_nano", BigInteger, nullable=False, comment="of it what calls cost above their hold"),
    Column("unpriced_calls", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False, comment="requests that did not fit"),
    Column("told", SmallInteger, nullable=False, comment="the share in percent that was told of last"),
    Column("version", BigInteger, nullable=False, unique=True, comment="of the whole table, when it was changed last"),
    Column("made_at", Double, nullable=False),
    Column("removed_at", Double),
    UniqueConstraint("tenant", "key_id", "model", "run_id", "period"),
)

_UNREMOVED = text("removed_at IS NULL")
Index("budgets_standing", budgets.c.id, sqlite_where=_UNREMOVED, postgresql_where=_UNREMOVED)

budget_moves = Table(
    "budget_moves",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=True),
    Column("budget_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("overrun_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
    Index("budget_moves_budget", "budget_id"),
    comment="what has changed of budgets and is not added to them yet",
)

budget_history = Table(
    "budget_history",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=True),
    Column("budget_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", Text, nullable=False, comment="set, removed, 50, 80, 100, period"),
    Column("who", Text, nullable=False),
    Column("limit_nano", BigInteger, nullable=False),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Index("budget_history_budget", "budget_id", "pk"),
)
