"""What is counted of schedules, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600, 86_400)


class Meters:
    """`genai_schedule_…`, in this process's registry: a firing is counted by whoever leads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.fired = _counter("fired", "Runs that schedules have submitted.", registry)
        self.skipped = _counter("skipped", "Firings that were left out since the run before went on.", registry)
        self.missed = _counter("missed", "Firings that fell due while nobody ran, and were not made up for.", registry)
        self.failed = _counter("failed", "Firings that could not be submitted.", registry)
        self.late = Histogram(
            "genai_schedule_lateness_seconds",
            "Between the planned time of a firing and its run.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.leads = Gauge("genai_schedule_leader", "Whether this process fires the schedules.", registry=registry)
        self.file_ok = Gauge(
            "genai_schedule_file_ok", "Whether the file of schedules can be used as it is now.", registry=registry
        )


def _counter(what: str, words: str, registry: CollectorRegistry) -> Counter:
    return Counter(f"genai_schedule_{what}_total", words, ["schedule"], registry=registry)
