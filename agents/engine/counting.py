"""What became of rows, counted once it is committed: in metrics, and in a line of the log for each end."""

import structlog

from agents.engine import routed, task, tiering
from agents.engine.metrics import Metrics
from schemas.request import LANE_NAMES
from schemas.result import Status
from store.ledger.types.steps import End, Retry, Shared, Step, Stepped

log = structlog.get_logger(__name__)


def count_shared(metrics: Metrics, one: Shared) -> None:
    """A request has ended with the one that it followed."""
    claim, status = one.claim, one.status.value
    metrics.requests.labels(claim.operation, status, LANE_NAMES[claim.lane]).inc()
    if one.status is Status.SUCCEEDED:
        metrics.saved(one.kind, one.saved_nano)
    log.debug("request ended with the one it followed", **task.ids(claim), status=status)


def count(metrics: Metrics, step: Step, stepped: Stepped) -> None:
    """A step was committed, or refused since its row was somebody else's; its calls were made in either case."""
    claim, m = step.claim, metrics
    if not stepped.held:
        m.stale.inc()
    elif isinstance(step.then, End):
        m.requests.labels(claim.operation, step.then.status.value, LANE_NAMES[claim.lane]).inc()
        log.debug("request ended", **task.ids(claim), status=step.then.status.value, attempt=claim.attempts)
        if step.then.status is Status.FAILED and step.then.failure is not None:
            m.errors.labels(claim.operation, step.then.failure.type.value).inc()
    elif isinstance(step.then, Retry):
        m.retries.labels(claim.operation).inc()
    if any(closing.outcome == "ok" for closing in step.closings):
        m.answered((claim.provider, claim.model))
    provider, model = m.names.of((claim.provider, claim.model))
    for closing in step.closings:
        m.calls.labels(provider, model, closing.outcome).inc()
        m.call_seconds.labels(provider, model).observe(closing.latency_ms / 1000)
        m.tokens.labels(provider, model, "input").inc(closing.input_tokens)
        m.tokens.labels(provider, model, "output").inc(closing.output_tokens)
        if closing.cost_nano is None:
            m.unpriced.labels(provider, model).inc()
        else:
            m.cost.labels(provider, model, claim.tenant).inc(closing.cost_nano / 1e9)
    if stepped.held:
        routed.count(m, step)
        tiering.count(m, step)
