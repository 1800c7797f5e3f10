"""What the days cost and saved, and what was put right of them later."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, Text, UniqueConstraint

from store.tables.base import PK, metadata

daily_costs = Table(
    "daily_costs",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
)

daily_savings = Table(
    "daily_savings",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("route", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    comment="of requests that had time to wait for a cheaper model",
)

daily_tiers = Table(
    "daily_tiers",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("tier", Text, primary_key=True, comment="flex, batch"),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    comment="of requests that had time for a cheaper tier of their provider",
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Text, primary_key=True, comment="the call's id, ~ and its number"),
    Column("call_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="which one of its call, from 1"),
    Column("request_pk", PK, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("was_nano", BigInteger, comment="null: nothing had priced it"),
    Column("cost_nano", BigInteger, nullable=False, comment="what is added; may be below zero"),
    Column("price_source", Text, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("call_id", "number"),
    Index("corrections_at", "at"),
    comment="calls that were priced anew: differences, booked on the day of the correction",
)

daily_corrections = Table(
    "daily_corrections",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=True),
    Column("date", Text, nullable=False, comment="UTC day, YYYY-MM-DD"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("calls", BigInteger, nullable=False, comment="here and below: what was added; may be below zero"),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False, comment="which has found it"),
    Column("at", Double, nullable=False),
    Index("daily_corrections_date", "date"),
    comment="sums of days that were not those of their calls",
)
