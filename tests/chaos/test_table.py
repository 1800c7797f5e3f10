"""The table of daily costs is wiped. Expected: it is folded anew from genai.usage, and the four totals agree again."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents import OPERATIONS
from streams import topics
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, request
from tests.system.totals import equal_totals

pytestmark = [pytest.mark.chaos, pytest.mark.kafka]


async def test_a_wiped_table_is_folded_anew(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of(fake_slots=8, fake_latency_s=0.0, fake_paid=True)
    async with stack.spine():
        await stack.produce(*[request(f"a{i}") for i in range(5)])
        await stack.answered(5)
        before = await equal_totals(stack)
    await wipe(stack)
    async with stack.spine():
        assert await equal_totals(stack) == before
        await stack.produce(*[request(f"b{i}") for i in range(5)])
        await stack.answered(10)
        assert await equal_totals(stack) != before


async def wipe(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topics.COSTS])
        while topics.COSTS in await admin.list_topics():
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await topics.create(stack.bootstrap, stack.settings, OPERATIONS)
