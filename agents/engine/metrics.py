"""What the engine counts, for Prometheus; one registry per process, given by whoever wires it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from agents.engine.names import Names
from store.ledger.types.claims import Pool

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


class Metrics:
    """All `genai_` series that are counted where the work happens. `__init__` is long since it is a list: one statement for each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "genai_requests_total",
            "Requests that ended, by status.",
            ["operation", "status", "lane"],
            registry=registry,
        )
        self.errors = Counter(
            "genai_errors_total", "Requests that failed, by error type.", ["operation", "type"], registry=registry
        )
        self.calls = Counter(
            "genai_calls_total", "Provider calls, by outcome.", ["provider", "model", "outcome"], registry=registry
        )
        self.tokens = Counter(
            "genai_tokens_total", "Tokens, by direction.", ["provider", "model", "direction"], registry=registry
        )
        self.cost = Counter(
            "genai_cost_usd_total", "Dollars booked.", ["provider", "model", "tenant"], registry=registry
        )
        self.unpriced = Counter(
            "genai_unpriced_calls_total", "Calls that nothing priced.", ["provider", "model"], registry=registry
        )
        self.ambiguous = Counter(
            "genai_ambiguous_calls_total",
            "Paid calls whose owner died or left before their answer was recorded.",
            registry=registry,
        )
        self.retries = Counter(
            "genai_retries_total", "Requests sent back to wait for another try.", ["operation"], registry=registry
        )
        self.refused = Counter(
            "genai_refused_total", "Requests that HTTP refused since their lane was full.", ["lane"], registry=registry
        )
        self.stale = Counter(
            "genai_stale_steps_total", "Steps refused because the row was somebody else's.", registry=registry
        )
        self.budget_shares = Counter(
            "genai_budget_shares_total",
            "Shares of budgets, in percent, that were reached: each once in a period.",
            ["budget", "share"],
            registry=registry,
        )
        self.missed = Counter(
            "genai_missed_records_total",
            "Requests that retention deleted before anybody read them.",
            registry=registry,
        )
        self.hits = Counter(
            "genai_cache_hits_total",
            "Requests answered without a call of their own: exact (the cache), flight (with the same question under way), "
            "key (an idempotency key).",
            ["kind"],
            registry=registry,
        )
        self.saved_usd = Counter(
            "genai_cache_saved_usd_total", "Dollars that their calls would have cost.", ["kind"], registry=registry
        )
        self.guards = Counter(
            "genai_guards_total",
            "What guards found, by rule, when, and what was done: mask, refuse, report.",
            ["rule", "when", "done"],
            registry=registry,
        )
        self.call_seconds = Histogram(
            "genai_call_duration_seconds", "Provider calls.", ["provider", "model"], buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "genai_queue_duration_seconds",
            "From acceptance to the lease.",
            ["lane"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "genai_ledger_commit_duration_seconds", "Transactions of the writer.", buckets=_SECONDS, registry=registry
        )
        self.loads = Counter(
            "genai_model_loads_total",
            "Calls that waited for their node to load the model.",
            ["provider", "node"],
            registry=registry,
        )
        self.routed = Counter(
            "genai_route_requests_total",
            "Requests of a route that ended, by the arm that was drawn and the model that they ended at.",
            ["route", "arm", "target", "status"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "genai_route_fallbacks_total",
            "Requests of a route that went on to another model.",
            ["route", "source", "target", "error"],
            registry=registry,
        )
        self.route_saved = Counter(
            "genai_route_saved_usd_total",
            "Dollars that requests cost less since they had time to wait for a cheaper model.",
            ["route"],
            registry=registry,
        )
        self.hedges = Counter(
            "genai_route_hedges_total",
            "Requests of a route for which a second call was made beside one that took long, by which of them answered.",
            ["route", "target", "answered"],
            registry=registry,
        )
        self.route_skipped = Counter(
            "genai_route_skipped_total",
            "Targets that a route's request was not sent to when it was accepted.",
            ["route", "target"],
            registry=registry,
        )
        self.routes_read = Counter(
            "genai_route_reads_total", "Times that the file of routes was read again.", ["outcome"], registry=registry
        )
        self.routes_ok = Gauge(
            "genai_route_file_ok", "Whether the file of routes can be used as it is now.", registry=registry
        )
        self.tiers = Counter(
            "genai_tier_requests_total",
            "Requests answered that could have waited for a cheaper tier of their provider, by the tier that answered.",
            ["provider", "model", "tier"],
            registry=registry,
        )
        self.tier_saved = Counter(
            "genai_tier_saved_usd_total",
            "Dollars that they cost less than on the standard tier.",
            ["provider", "model", "tier"],
            registry=registry,
        )
        self.batches = Counter(
            "genai_batches_total",
            "Batches at providers: sent, found (after nobody knew), stopped, refused, lost, ended.",
            ["provider", "event"],
            registry=registry,
        )
        self.names = Names()

    def answered(self, pool: Pool) -> None:
        """From now on it is counted by its name, if there is room for one; the series of who made room for it go."""
        if (lost := self.names.answered(pool)) is None:
            return
        for metric, more in self._of_models():
            samples = [sample.labels for family in metric.collect() for sample in family.samples]
            mine = (labels for labels in samples if (labels["provider"], labels["model"]) == lost)
            for third in {labels[more] if more else None for labels in mine}:
                metric.remove(*lost, *([third] if more else []))

    def _of_models(self) -> list[tuple[MetricWrapperBase, str]]:
        """Those that are labelled by provider and model, each with its further label."""
        plain: list[MetricWrapperBase] = [self.unpriced, self.call_seconds]
        tiered = [(self.tiers, "tier"), (self.tier_saved, "tier")]
        counted = [(self.calls, "outcome"), (self.tokens, "direction"), (self.cost, "tenant")]
        return [*((metric, "") for metric in plain), *tiered, *counted]

    def saved(self, kind: str, nano: int) -> None:
        """A request was answered without a call."""
        self.hits.labels(kind).inc()
        self.saved_usd.labels(kind).inc(nano / 1e9)
