"""Every table of the ledger, as SQLAlchemy Core; `migrations/` makes them.

Times are seconds since 1970 UTC as doubles: on PostgreSQL the database's clock, on SQLite the machine's.
Money is whole nano-dollars (`schemas.money`). Bodies stand apart from the narrow rows that are updated all the time.
"""

from store.tables.base import metadata
from store.tables.batch import LOOSE, OPEN_BATCH, batch_items, batches
from store.tables.books import corrections, daily_corrections, daily_costs, daily_savings, daily_tiers
from store.tables.budget import budget_history, budget_moves, budgets
from store.tables.call import executions, generating, pieces
from store.tables.housekeeping import leaders, ledgers, pruned, workers
from store.tables.key import api_keys
from store.tables.pool import doors, pool_limits, pools, quotas, slots
from store.tables.replay import OPEN_ITEM, replay_items, replays
from store.tables.request import (
    BEHIND,
    CACHED,
    CLAIMABLE,
    DELAYED,
    DUE,
    FLYING,
    FOLLOWS,
    HEAD,
    HOLDING,
    IDEM,
    KEYED,
    LIVE,
    MOVING,
    QUEUED,
    REALTIME,
    STANDING,
    bodies,
    cancels,
    requests,
    results,
    run_cancels,
)
from store.tables.topic import intake_progress, numbers, outbox, positions, relays

__all__ = [
    "BEHIND",
    "CACHED",
    "CLAIMABLE",
    "DELAYED",
    "DUE",
    "FLYING",
    "FOLLOWS",
    "HEAD",
    "HOLDING",
    "IDEM",
    "KEYED",
    "LIVE",
    "LOOSE",
    "MOVING",
    "OPEN_BATCH",
    "OPEN_ITEM",
    "QUEUED",
    "REALTIME",
    "STANDING",
    "api_keys",
    "batch_items",
    "batches",
    "bodies",
    "budget_history",
    "budget_moves",
    "budgets",
    "cancels",
    "corrections",
    "daily_corrections",
    "daily_costs",
    "daily_savings",
    "daily_tiers",
    "doors",
    "executions",
    "generating",
    "intake_progress",
    "leaders",
    "ledgers",
    "metadata",
    "numbers",
    "outbox",
    "pieces",
    "pool_limits",
    "pools",
    "positions",
    "pruned",
    "quotas",
    "relays",
    "replay_items",
    "replays",
    "requests",
    "results",
    "run_cancels",
    "slots",
    "workers",
]
