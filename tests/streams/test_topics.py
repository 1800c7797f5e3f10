"""The table of topics, and a real cluster made to look like it."""

import asyncio

import pytest

from schemas import Lane
from streams import topics, topics_admin
from streams.topics import Kind
from streams.topics_admin import Existing
from tests.parts.kafka import make_settings

SETTINGS = make_settings(
    partitions=3, retention_hours=1, dlq_retention_hours=2, request_max_bytes=2048, result_max_bytes=4096
)


def existing(**partitions: int) -> dict[str, Existing]:
    """The table's topics as a cluster would have them, but for the partitions named (`_` for `.`)."""
    changed = {name.replace("_", "."): count for name, count in partitions.items()}
    return {
        topic.name: Existing(changed.get(topic.name, topic.partitions), 1, dict(topic.config))
        for topic in topics.table(SETTINGS, ["embed"])
    }


@pytest.mark.fast
@pytest.mark.parametrize("operation", ["summarize", "execute_prompt", "a.b"])
@pytest.mark.parametrize("lane", list(Lane))
def test_a_request_topics_name_is_read_back(operation: str, lane: Lane) -> None:
    assert topics.parse_request_topic(topics.request_topic(operation, lane)) == (operation, lane)


@pytest.mark.fast
@pytest.mark.parametrize("name", ["genai.results", "genai.requests.", "other", "xgenai.requests.embed"])
def test_another_topic_is_no_request_topic(name: str) -> None:
    with pytest.raises(ValueError, match="no request topic"):
        topics.parse_request_topic(name)


@pytest.mark.fast
def test_the_table_is_the_contracts() -> None:
    found = {
        t.name: (t.partitions, t.config.get("cleanup.policy"), t.config.get("max.message.bytes"))
        for t in topics.table(SETTINGS, ["embed"])
    }
    assert found == {
        "genai.requests.embed": (3, "delete", "2048"),
        "genai.requests.embed.realtime": (3, "delete", "2048"),
        "genai.requests.embed.batch": (3, "delete", "2048"),
        "genai.results": (3, "delete", "4096"),
        "genai.usage": (3, "delete", "4096"),
        "genai.costs.daily": (3, "compact", None),
        "genai.runs": (3, "compact,delete", None),
        "genai.prompts": (1, "compact", "4096"),
        "genai.replays": (3, "delete", "4096"),
        "genai.control": (1, "delete", None),
        "genai.dlq": (3, "delete", str(2048 + 65536)),  # an untouched request and its headers fit in any case
    }


@pytest.mark.fast
@pytest.mark.parametrize(
    ("has", "grown"),
    [
        ({}, {}),
        ({"genai_results": 2}, {"genai.results": 3}),
        # an operator widened one request topic to 5: what is joined by partition number goes along
        ({"genai_requests_embed_batch": 5}, {"genai.results": 5, "genai.runs": 5, "genai.replays": 5, "genai.dlq": 5}),
        # wider than asked for stays
        ({"genai_results": 9}, {}),
        # the table's changelog is cut like its source: the narrower of the two is grown, settings or not
        ({"genai_usage": 2, "genai_costs_daily": 2}, {}),
        ({"genai_usage": 5}, {"genai.costs.daily": 5}),
        ({"genai_costs_daily": 5}, {"genai.usage": 5}),
        ({"genai_control": 2}, {}),
    ],
)
def test_results_are_never_narrower_than_requests(has: dict[str, int], grown: dict[str, int]) -> None:
    assert topics.plan(topics.table(SETTINGS, ["embed"]), existing(**has)).grow == grown


@pytest.mark.fast
def test_every_difference_is_told_in_words_with_what_mends_it() -> None:
    has = existing(genai_results=1)
    del has["genai.dlq"]
    has["genai.usage"] = Existing(3, 1, dict(has["genai.usage"].config) | {"retention.ms": "1"})
    has["genai.runs"] = Existing(3, 1, dict(has["genai.runs"].config) | {"cleanup.policy": "delete, compact"})
    has["genai.costs.daily"] = Existing(3, 0, dict(has["genai.costs.daily"].config) | {"cleanup.policy": "delete"})
    found = [(f.topic, f.kind, f.message) for f in topics.findings(topics.table(SETTINGS, ["embed"]), has)]
    assert found == [
        ("genai.results", Kind.PARTITIONS, "genai.results has 1 partitions and needs 3."),
        ("genai.usage", Kind.CONFIG, "genai.usage has retention.ms=1 and needs 3600000."),
        ("genai.costs.daily", Kind.CLEANUP, "genai.costs.daily has cleanup.policy=delete and needs compact."),
        ("genai.costs.daily", Kind.REPLICATION, "genai.costs.daily has 0 replicas and needs 1."),
        ("genai.dlq", Kind.MISSING, "genai.dlq does not exist."),
    ]


@pytest.mark.kafka
async def test_a_real_cluster_is_made_grown_and_corrected(own_broker: str) -> None:
    first = make_settings(partitions=2)
    made = await topics.create(own_broker, first, ["embed"])
    again = await asyncio.gather(*(topics.create(own_broker, first, ["embed"]) for _ in range(2)))
    assert (len(made.created), again) == (11, [topics.Done(), topics.Done()])

    wider = make_settings(partitions=4, retention_hours=3)
    told = {(f.topic, f.kind) for f in await topics.check(own_broker, wider, ["embed"])}
    assert {("genai.results", Kind.PARTITIONS), ("genai.usage", Kind.CONFIG)} <= told
    done = await topics.create(own_broker, wider, ["embed"])
    assert set(done.grown) == {name for name, kind in told if kind is Kind.PARTITIONS}
    assert await topics.check(own_broker, wider, ["embed"]) == []
    found = await topics.list_topics(own_broker)
    assert found["genai.usage"].partitions == found["genai.costs.daily"].partitions == 2


@pytest.mark.kafka
async def test_an_operators_own_setting_outlives_a_correction(own_broker: str) -> None:
    settings = make_settings()
    await topics.create(own_broker, settings, ["embed"])
    async with topics_admin.connected(own_broker) as client:
        await topics_admin.configure(client, "genai.dlq", {"compression.type": "zstd", "retention.ms": "1000"})
    await topics.create(own_broker, settings, ["embed"])
    dlq = (await topics.list_topics(own_broker))["genai.dlq"]
    assert (dlq.overrides["compression.type"], dlq.overrides["retention.ms"]) == ("zstd", str(2160 * 3_600_000))


@pytest.mark.fast
async def test_no_broker_is_told_with_what_to_do() -> None:
    with pytest.raises(topics_admin.Unreachable, match="genai-spine broker start"):
        await topics.check("127.0.0.1:1", SETTINGS, ["embed"])
