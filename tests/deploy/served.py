"""The metrics that `/metrics` serves, and what an expression may ask of them."""

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from agents.engine.metrics import Metrics
from streams.jobs.metering import Meters as JobMeters
from streams.schedules.metering import Meters as ScheduleMeters
from tests.deploy import files
from tests.docs.test_reference import metric_names, rows

SCRAPED = {"job", "instance"}
"""Labels that Prometheus itself puts on."""


def counted() -> dict[str, MetricWrapperBase]:
    """What the engine, schedules and jobs count, by the name that it is served under."""
    meters = (Metrics(CollectorRegistry()), ScheduleMeters(CollectorRegistry()), JobMeters(CollectorRegistry()))
    found = [each for meter in meters for each in vars(meter).values() if isinstance(each, MetricWrapperBase)]
    return {f"{each._name}_total" if each._type == "counter" else each._name: each for each in found}


def labels() -> dict[str, set[str]]:
    """Every served series with its labels, as the reference page has them; histograms by their three series."""
    said = {
        cells[0].strip("`"): {word.strip() for word in cells[1].split(",") if word.strip()}
        for cells in rows("metrics.md")
    }
    served = {name: said[name] for name in metric_names()}
    for name, metric in counted().items():
        if metric._type == "histogram":
            plain = served.pop(name)
            served |= {f"{name}_sum": plain, f"{name}_count": plain, f"{name}_bucket": plain | {"le"}}
    return served


def problems(expression: str, known: dict[str, set[str]]) -> list[str]:
    """What the expression names that is not there; empty: nothing."""
    named = set(files.METRIC.findall(expression))
    found = [f"no metric {name}" for name in sorted(named - known.keys())]
    there = {name: known.get(name, set()) | SCRAPED for name in named} | {"up": SCRAPED}
    found += [f"{name} has no label {label}" for name, label in files.selectors(expression) if label not in there[name]]
    everywhere = set().union(*(there[name] for name in named)) if named else SCRAPED
    found += [f"nothing to group by {label}" for label in sorted(files.grouped(expression) - everywhere)]
    return found
