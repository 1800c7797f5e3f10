"""What is counted of requests that came by a route."""

from agents.engine.metrics import Metrics
from schemas.routes import Pinned
from store.ledger.types.steps import End, Move, Step


def count(metrics: Metrics, step: Step) -> None:
    """A step of a row that was still ours: it has ended, or went on to another model."""
    claim, then = step.claim, step.then
    if claim.route is None or not isinstance(then, End | Move):
        return
    pinned, here = Pinned.model_validate_json(claim.route), f"{claim.provider}/{claim.model}"
    if isinstance(then, End):
        metrics.routed.labels(pinned.name, pinned.arm or "", here, then.status.value).inc()
        if then.hedged is not None:
            metrics.hedges.labels(pinned.name, here, then.hedged).inc()
        metrics.route_saved.labels(pinned.name).inc(max(0, then.saved_nano or 0) / 1e9)
    else:
        error = Pinned.model_validate_json(then.route).tried[-1].error.value
        metrics.fallbacks.labels(pinned.name, here, f"{then.provider}/{then.model}", error).inc()
