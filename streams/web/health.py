"""`/health`: the process answers. `/ready`: it can take work; each part, why not, since when."""

import time
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from store.ledger.throttle import FAILURES, SHUT_S
from streams.spine import Spine
from streams.web.front import Front, Part
from streams.web.replies import json

_HINT = {"Retry-After": "2"}


def parts(front: Front) -> dict[str, Part]:
    """Every part as it is now."""
    spine = front.spine
    if spine is None:
        why = "ending" if front.leaving else front.starting.why
        return {"start": Part(ok=False, why=why, since=front.starting.since)}
    found = {"database": _database(spine), "provider": front.provider}
    if spine.relay is not None:
        relay = Part(spine.relay.ok, spine.relay.why, spine.relay.since)
        found["broker"] = relay if front.broker.ok else front.broker
    if spine.intake is not None:
        found["intake"] = _intake(front, spine)
    if front.bootstrap is not None:
        found["retention"] = front.retention
    if not _nodes(front, spine).ok:
        found["nodes"] = front.nodes
    if spine.named.path is not None:
        found["routes"] = Part(spine.named.ok, spine.named.why, spine.named.since, needed=False)
    if (schedules := spine.schedules.file).path is not None:
        found["schedules"] = Part(schedules.ok, schedules.why, schedules.since, needed=False)
    if spine.keeper.dead.is_set():
        found["lease"] = Part(ok=False, why="others have declared this process dead; it ends")
    if front.leaving:
        found["end"] = Part(ok=False, why="draining")
    return found


def _database(spine: Spine) -> Part:
    health = spine.writer.health
    return Part(health.ok, health.why, health.since)


def _nodes(front: Front, spine: Spine) -> Part:
    """No fault of this process: requests wait, or go to other nodes."""
    shut = [f"{provider} at {node}" for provider, node in spine.engine.pools.gates.shut()]
    why = f"failed {FAILURES} times in a row or more, and tried with one call every {SHUT_S:g} s: {', '.join(shut)}"
    front.nodes = front.nodes.changed(not shut, why if shut else "")
    return front.nodes


def _intake(front: Front, spine: Spine) -> Part:
    front.intake = front.intake.changed(*_intake_now(spine))
    return front.intake


def _intake_now(spine: Spine) -> tuple[bool, str]:
    """Held lanes are no fault: they have more than they may hold, and go on by themselves."""
    assert spine.intake is not None and spine.faust is not None
    if spine.faust.should_stop:
        return False, "stopped"
    consumer = spine.intake._consumer()  # noqa: SLF001 - the same program
    if consumer is None:
        return False, "joining the consumer group"
    if spine.faust.rebalancing:
        return False, "the consumer group is rebalancing"
    if consumer.unplanned:
        return False, "deciding where to read on"
    held = [lane.name for lane in spine.intake.lanes if lane.held]
    return True, f"held back: {', '.join(held)}" if held else ""


def ready(front: Front) -> tuple[bool, dict[str, Any]]:
    """Whether every needed part works, and what /ready says."""
    found = parts(front)
    ok = all(part.ok for part in found.values() if part.needed)
    told = {
        name: {"ok": part.ok, "why": part.why, "since": _moment(part.since), "needed": part.needed}
        for name, part in found.items()
    }
    return ok, {"ready": ok, "process": front.name, "parts": told}


def ready_response(front: Front) -> Response:
    """200, or 503 with the same body."""
    ok, told = ready(front)
    response = json(told, 200 if ok else 503)
    if not ok:
        response.headers.update(_HINT)
    return response


def health_response(front: Front) -> Response:
    """Always 200: whoever answers, lives."""
    state = "ending" if front.leaving else "ok" if front.spine is not None else "starting"
    return json({"status": state, "process": front.name, "uptime_s": round(time.time() - front.started_at, 1)})


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
