"""Commands that serve: `up worker web demo`, `migrate`, `fake-provider`."""

from typing import Annotated

import typer

from streams.importing import all_stays


def worker() -> None:
    """Take records from Kafka, run them, publish results and costs; until SIGTERM.

    Needs GENAI_KAFKA_BROKERS or a running embedded broker. Serves /metrics, /ready and /health at GENAI_WORKER_PORT.

    Example: `GENAI_KAFKA_BROKERS=kafka:9092 genai-spine worker`
    """
    from streams import settings

    with all_stays():
        from streams import worker as running
    raise typer.Exit(running.worker(settings.load()))


def web() -> None:
    """Serve the HTTP API at GENAI_API_HOST:GENAI_API_PORT; until SIGTERM.

    Example: `genai-spine web`
    """
    from streams import settings

    with all_stays():
        from streams import worker as running
    raise typer.Exit(running.web(settings.load()))


def up(
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
    api_fd: Annotated[int, typer.Option("--api-fd", hidden=True)] = -1,
    worker_fd: Annotated[int, typer.Option("--worker-fd", hidden=True)] = -1,
) -> None:
    """Start everything: the embedded broker, a worker and the HTTP API; until Ctrl-C.

    Example: `genai-spine up`
    """
    from streams import settings

    with all_stays():
        from streams import up as running
    if child:
        raise typer.Exit(running.child(settings.load(), api_fd, worker_fd))
    raise typer.Exit(running.up(settings.load()))


def demo() -> None:
    """Start everything, send the shipped sample, show answers and costs. Without a terminal it ends by itself.

    Example: `genai-spine demo`
    """
    from streams import settings
    from streams.demo import demo as shown

    raise typer.Exit(shown(settings.load()))


def migrate() -> None:
    """Bring the database's schema up to date.

    Example: `genai-spine migrate`
    """
    import asyncio

    from streams import postgres, settings, waiting

    chosen = postgres.resolved(settings.load())
    asyncio.run(waiting.for_schema(chosen, lambda words: typer.echo(words, err=True), may_migrate=True))
    typer.echo("The schema is up to date.")


def fake_provider(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free port.")] = 11500,
    slots: Annotated[int, typer.Option(help="Calls side by side; 0: no limit.")] = 0,
    most: Annotated[int, typer.Option(min=0, help="Calls at once; more are refused with 429. 0: no bound.")] = 0,
    holds: Annotated[int, typer.Option(min=0, help="Models in memory at a time; 0: all.")] = 0,
    load_s: Annotated[float, typer.Option(min=0, help="How long it takes to load another one.")] = 1.0,
) -> None:
    """Serve the test double in its providers' wire formats; counts calls at /_counts. Set GENAI_FAKE_URL to its address.

    Example: `genai-spine fake-provider --port 11500 --slots 4`
    """
    from providers.double.faults import Behaviour
    from providers.fake_process import serve
    from streams import settings
    from streams.errors import SpineError

    s = settings.load()
    how = Behaviour(
        seed=s.fake_seed,
        latency_s=s.fake_latency_s,
        tail=s.fake_tail,
        failures=s.fake_failures,
        most=most,
        holds=holds,
        load_s=load_s,
    )
    try:
        serve(host, port, how, slots=slots, ready=lambda url: typer.echo(f"Listening at {url}"))
    except OSError as error:
        raise SpineError(f"Cannot listen on {host}:{port} ({error.strerror}). Choose another --port.") from error
