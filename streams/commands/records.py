"""`results`."""

from typing import Annotated

import typer

from streams.commands.submitting import show

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for a program.")]


def results(
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many of the latest.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones until Ctrl-C.")] = False,
    as_json: _Json = False,
) -> None:
    """Print the latest results from Kafka.

    Example: `genai-spine results -n 5`
    """
    import asyncio

    from streams import settings, where

    asyncio.run(_results(where.bootstrap(settings.load()), number, follow, as_json))


async def _results(bootstrap: str, number: int, follow: bool, as_json: bool) -> None:
    import orjson

    from streams import reading, topics

    starts = await reading.ends(bootstrap, topics.RESULTS)
    records = await reading.whole(bootstrap, topics.RESULTS, last=number) if number else []
    found = [orjson.loads(record.value) for record in records if record.value is not None]
    found.sort(key=lambda result: str(result["completed_at"]))
    for result in found[-number:] if number else []:
        show(result, as_json=as_json)
    if not follow:
        return
    async for record in reading.following(bootstrap, topics.RESULTS, starts):
        if record is not None and record.value is not None:
            show(orjson.loads(record.value), as_json=as_json)
