"""What jobs find, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Meters:
    """In this process's registry: a job counts where it ran."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.differences = Counter(
            "genai_cost_rollup_differences_total",
            "Sums of days that were not those of their calls, and were put right.",
            registry=registry,
        )
        self.difference_usd = Counter(
            "genai_cost_rollup_difference_usd_total",
            "Dollars by which they were wrong, whichever way.",
            registry=registry,
        )
        self.unpriced = Gauge(
            "genai_models_without_price", "Models in use that nothing prices, at the last look.", registry=registry
        )
        self.price_changes = Counter(
            "genai_price_changes_total", "Prices of models in use that were other ones at a look.", registry=registry
        )
