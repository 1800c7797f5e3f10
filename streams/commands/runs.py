"""`runs submit|list|show|items|results|wait|cancel|retry`: work that is asked for as one, at a running API."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.errors import Exit, SpineError

if TYPE_CHECKING:
    import httpx

app = typer.Typer(help="Runs: batches and tasks submitted as one, and told about as one.", no_args_is_help=True)

_Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
_Url = Annotated[str | None, typer.Option(help="The API's address; default: the `up` here, else the settings'.")]
_Tenant = Annotated[str | None, typer.Option(help="Whose run it is; default: GENAI_DEFAULT_TENANT.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
_ENDED = ("succeeded", "partially_failed", "failed", "cancelled", "expired")
_POLL_S = 0.5
_BLOCK = 1 << 16


@app.command()
def submit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as batch_summarize, or a task such as summarize.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="JSON Lines, an item a line; - is standard input.")
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="The run's params; with a file, what holds for each of its items."),
    ] = None,
    lane: Annotated[str | None, typer.Option(help="realtime, normal, batch or gpu.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the default one.")] = None,
    provider: Annotated[str | None, typer.Option(help="Another provider than the default one.")] = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key gives the same run, and costs nothing again.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="Dollars that all of it may cost; items beyond fail.")
    ] = None,
    tenant: _Tenant = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit code 1 unless all succeeded.")] = False,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Submit a run. A file is sent line by line, however large it is.

    Example: genai-spine runs submit batch_summarize texts.jsonl --wait
    """
    told = {"name": name, "lane": lane, "tenant": tenant, "idempotency_key": key, "model": model, "provider": provider}
    told |= {"budget_usd": budget}
    query = {field: value for field, value in told.items() if value is not None}
    with door_of(url) as client:
        if file is None:
            found = said(client.post("/v1/runs", json=_body(query, params)))
        else:
            query |= {} if params is None else {"params": json.dumps(_json_of(params))}
            headers = {"content-type": "application/x-ndjson"}
            found = said(client.post("/v1/runs", params=query, content=_blocks(file), headers=headers))
        if wait:
            found = until_end(client, found)
    _show(found, as_json)
    if wait and found["status"] != "succeeded":
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only this status.")] = None,
    name: Annotated[str | None, typer.Option(help="Only this name.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=500, help="How many of the newest.")] = 20,
    tenant: _Tenant = None,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Print runs, newest first.

    Example: genai-spine runs list --status running
    """
    told = {"status": status, "name": name, "tenant": tenant, "limit": str(number)}
    with door_of(url) as client:
        found = said(client.get("/v1/runs", params={field: value for field, value in told.items() if value}))["items"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for run in found:
        typer.echo(line(run))


@app.command()
def show(run: _Run, tenant: _Tenant = None, url: _Url = None, as_json: _Json = False) -> None:
    """Print how a run stands, and how its end was told.

    Example: genai-spine runs show run_01a2000a7d73707c8c17fa17d94a7891
    """
    with door_of(url) as client:
        found = said(client.get(_path(run), params=_of(tenant)))
    _show(found, as_json)
    if not as_json:
        for each in found["deliveries"]:
            typer.echo(_delivery(each))


@app.command()
def wait(run: _Run, tenant: _Tenant = None, url: _Url = None, as_json: _Json = False) -> None:
    """Wait until a run has ended; exit code 1 unless all of it succeeded.

    Example: genai-spine runs wait run_01a2000a7d73707c8c17fa17d94a7891
    """
    with door_of(url) as client:
        found = until_end(client, said(client.get(_path(run), params=_of(tenant))))
    _show(found, as_json)
    if found["status"] != "succeeded":
        raise typer.Exit(Exit.FAILED)


@app.command()
def results(
    run: _Run,
    out: Annotated[Path | None, typer.Option("--out", help="Into this file instead of standard output.")] = None,
    tenant: _Tenant = None,
    url: _Url = None,
) -> None:
    """Print all items with their answers as JSON Lines, in the order of the input.

    Example: genai-spine runs results run_01a2000a7d73707c8c17fa17d94a7891 --out answers.jsonl
    """
    import sys

    with door_of(url) as client, client.stream("GET", f"{_path(run)}/results", params=_of(tenant)) as reply:
        if not reply.is_success:
            reply.read()
            said(reply)
        with _sink(out) as write:
            for block in reply.iter_bytes():
                write(block)
    if out is not None:
        print(f"Written to {out}.", file=sys.stderr)  # noqa: T201 - a command line's word


@app.command()
def cancel(run: _Run, tenant: _Tenant = None, url: _Url = None) -> None:
    """Cancel a run: what waits is not called, what is being called is aborted.

    Example: genai-spine runs cancel run_01a2000a7d73707c8c17fa17d94a7891
    """
    with door_of(url) as client:
        found = said(client.post(f"{_path(run)}/cancel", params=_of(tenant)))
    typer.echo(f"{found['run_id']} is being cancelled.")


@app.command()
def retry(
    run: _Run,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="What all of it may cost, with what it has cost.")
    ] = None,
    tenant: _Tenant = None,
    url: _Url = None,
) -> None:
    """Run again the items that did not succeed, and only those.

    Example: genai-spine runs retry run_01a2000a7d73707c8c17fa17d94a7891 --budget 5
    """
    params = _of(tenant) | ({} if budget is None else {"budget_usd": budget})
    with door_of(url) as client:
        found = said(client.post(f"{_path(run)}/retry", params=params))
    typer.echo(f"{found['retried']} items of {found['run_id']} run again.")


def _json_of(params: str) -> Any:
    try:
        return json.loads(params)
    except ValueError as error:
        raise SpineError(f"--params is not JSON ({error}).", exit_code=Exit.USAGE) from None


def _body(query: dict[str, str], params: str | None) -> dict[str, Any]:
    given = _json_of(params or "{}")
    options = {name: query.pop(name) for name in ("model", "provider") if name in query}
    kind = "workflow" if "batch_" in query["name"] else "task"
    return {"kind": kind, **query, "params": given, "options": options}


def _blocks(file: Path) -> Iterator[bytes]:
    import sys

    try:
        source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise SpineError(f"Cannot read {file} ({error.strerror}).", exit_code=Exit.USAGE) from None
    with source:
        while block := source.read(_BLOCK):
            yield block


@contextmanager
def _sink(out: Path | None) -> Iterator[Any]:
    import sys

    if out is None:
        yield sys.stdout.buffer.write
        return
    with out.open("wb") as file:
        yield file.write


@contextmanager
def door_of(url: str | None) -> Iterator["httpx.Client"]:
    """A client of the API. Raises SpineError where nobody answers."""
    import httpx

    from streams import door, settings

    chosen = settings.load()
    base = url or door.address(chosen)
    key = chosen.api_key.get_secret_value() if chosen.api_key else None
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(600.0, connect=5.0)
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=False) as client:
            yield client
    except httpx.ConnectError as error:
        raise SpineError(
            f"Nobody answers at {base} ({error}). Start `genai-spine up` or `genai-spine web`, or name the API with --url."
        ) from error
    except httpx.HTTPError as error:
        raise SpineError(
            f"{base} broke off ({str(error) or type(error).__name__}). With --idempotency-key the same command goes on."
        ) from error


def said(reply: "httpx.Response") -> dict[str, Any]:
    """What it answered. Raises SpineError in its words."""
    try:
        told = reply.json()
    except ValueError:
        told = {}
    if reply.is_success:
        return dict(told)
    raise SpineError(f"{told.get('detail', f'The API answered {reply.status_code}.')}")


def until_end(client: "httpx.Client", found: dict[str, Any]) -> dict[str, Any]:
    """The run, once it has ended."""
    tenant = {"tenant": found["tenant"], "wait": "30"}
    while found["status"] not in _ENDED:
        found = said(client.get(_path(found["run_id"]), params=tenant))
        time.sleep(0 if found["status"] in _ENDED else _POLL_S)
    return found


def _path(run: str) -> str:
    from urllib.parse import quote

    return f"/v1/runs/{quote(run, safe='')}"


def _of(tenant: str | None) -> dict[str, str]:
    return {} if tenant is None else {"tenant": tenant}


def _show(run: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(run) if as_json else line(run))
    if run["note"] and not as_json:
        typer.echo(f"  {run['note']}")


def line(run: dict[str, Any]) -> str:
    """How a run stands."""
    progress = run["progress"]
    total = "?" if progress["total"] is None else progress["total"]
    failed = f", {progress['failed']} failed" if progress["failed"] else ""
    of = f" of ${run['budget']['limit_usd']}" if run["budget"] else ""
    return f"{run['run_id']}  {run['name']}  {run['status']}  {progress['done']} of {total}{failed}  ${run['cost_usd']}{of}"


def _delivery(told: dict[str, Any]) -> str:
    last = f" ({told['said']})" if told["said"] else ""
    if told["delivered_at"]:
        return f"  told {told['url']} at {told['delivered_at']}, try {told['tries']}{last}"
    if told["next_try_at"]:
        return f"  {told['url']} is told at {told['next_try_at']}, {told['tries']} tries so far{last}"
    return f"  {told['url']} was not told, given up after {told['tries']} tries{last}"
