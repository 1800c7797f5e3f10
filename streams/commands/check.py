"""`doctor`."""

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Look at every part that a run needs; exit code 1 when one will fail, with what to do about it.

    Example: `genai-spine doctor --json`
    """
    import asyncio

    from streams import logging, settings
    from streams.doctor import examine

    logging.configure("error")
    found = asyncio.run(examine(settings.load()))
    bad = [finding for finding in found if finding.level == "bad"]
    if as_json:
        typer.echo(json.dumps({"ok": not bad, "findings": [finding.as_json() for finding in found]}))
    else:
        for finding in found:
            typer.echo(f"{finding.level:<5} {finding.part:<11} {finding.words}")
            if finding.mend:
                typer.echo(f"{'':<18}{finding.mend}")
    if bad:
        raise typer.Exit(1)
