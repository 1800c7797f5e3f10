"""The program's own work, by name: each is a `task` run that calls no model."""

from collections.abc import Mapping
from types import MappingProxyType

from streams.jobs import aggregate_costs, check_prices, prune, warm_models
from streams.jobs.base import Job

JOBS: Mapping[str, Job] = MappingProxyType(
    {
        "aggregate_costs": aggregate_costs.JOB,
        "check_prices": check_prices.JOB,
        "prune": prune.JOB,
        "warm_models": warm_models.JOB,
    }
)
"""Everything of a job is in its module; this line is what makes it one."""
