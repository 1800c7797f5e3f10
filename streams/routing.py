"""Where the ledger's records go; apart from `app`, since commands that change a row need no engine for it."""

from aiokafka.partitioner import murmur2

from store.ledger.types.records import Routes
from streams import topics
from streams.settings import Settings


def make_routes(settings: Settings, widths: dict[str, int]) -> Routes:
    """`widths`: how many partitions each destination topic has now."""

    def partition(topic: str, key: bytes) -> int:
        if topic == topics.PROMPTS:
            return 0
        return int(murmur2(key) & 0x7FFFFFFF) % widths.get(topic, settings.partitions)

    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host  # noqa: S104 - shown, not bound
    runs = topics.RUNS if settings.progress_topic else ""
    address = f"http://{host}:{settings.api_port}"
    return Routes(
        topics.RESULTS,
        topics.USAGE,
        topics.DLQ,
        partition,
        runs,
        prompts=topics.PROMPTS,
        replays=topics.REPLAYS,
        address=address,
    )
