"""`genai-spine worker` and `genai-spine web`: the same life behind other doors."""

from streams.serving import Doors, serve
from streams.settings import Settings


def worker(settings: Settings) -> int:
    """Records from Kafka; its own small door shows metrics and state. Returns the exit code."""
    return serve(settings, Doors(kafka=True, api=False))


def web(settings: Settings) -> int:
    """Requests over HTTP, run by an engine of its own. Returns the exit code."""
    return serve(settings, Doors(kafka=False, api=True))
