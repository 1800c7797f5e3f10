"""What is counted of runs, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Meters:
    """`genai_runs_…` and `genai_webhooks_…`, in this process's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter("genai_runs_ended_total", "Runs that ended, by status.", ["status"], registry=registry)
        self.fed = Counter(
            "genai_run_items_fed_total", "Items of runs that were made requests by this process.", registry=registry
        )
        self.cared = Gauge("genai_runs_owned", "Unfinished runs that this process feeds and counts.", registry=registry)
        self.webhooks = Counter(
            "genai_webhook_tries_total",
            "Tries to tell the end of a run: delivered, failed, given_up.",
            ["outcome"],
            registry=registry,
        )
