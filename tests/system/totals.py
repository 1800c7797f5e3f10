"""The four books of one stack's money, compared."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping

from schemas.money import from_usd
from store.database import Database, parse_url
from store.ledger import queries
from streams import topics
from streams.where import ledger_url
from tests.system.stack import Stack, read_all


async def equal_totals(stack: Stack, timeout_s: float = 30) -> Mapping[str, int]:
    """SQL daily_costs = sum of the journal = genai.usage folded by id = the Faust table, in nano-dollars."""
    db = Database(parse_url(ledger_url(stack.settings)))
    until = time.monotonic() + timeout_s
    while True:
        journal = {key: nano for key, (_, nano) in (await db.read(queries.journal_days)).items()}
        days: Counter[tuple[str, str, str]] = Counter()
        for row in await db.read(lambda conn: queries.days(conn, "2000", "3000")):
            days[row.provider, row.model, row.tenant] += row.cost_nano
        events = {s.json()["id"]: s.json() for s in await read_all(stack.bootstrap, topics.USAGE)}
        folded: Counter[tuple[str, str, str]] = Counter()
        for event in events.values():
            folded[event["provider"], event["model"], event["tenant"]] += from_usd(event["cost_usd"]) or 0
        latest = {s.key: s.json() for s in await read_all(stack.bootstrap, topics.COSTS)}
        table: Counter[tuple[str, str, str]] = Counter()
        for key, total in latest.items():
            _, provider, model, tenant = (key or b"").decode().split("|")
            table[provider, model, tenant] += from_usd(total["cost_usd"]) or 0
        if journal == days == folded == table:
            await db.aclose()
            return {"|".join(key): nano for key, nano in journal.items()}
        assert time.monotonic() < until, {"journal": journal, "days": days, "usage": folded, "table": table}
        await asyncio.sleep(0.3)
