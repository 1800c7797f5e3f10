"""A double's memory: it holds some models at a time, loads what it does not hold and throws out what it used longest ago.

As at an Ollama: a model that is being called is never thrown out, and whoever waits for that holds up all who come later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Loading:
    """`holds` models at a time, 0: any number, loaded from the start; `load_s` to load one. `clock` gives seconds."""

    holds: int
    load_s: float
    clock: Callable[[], float]
    ready_at: dict[str, float] = field(default_factory=dict)
    """The models in memory, those that are still being loaded too, in the order of their last use."""
    calls: dict[str, int] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
    """How often each model was loaded."""

    def may_begin(self, model: str) -> bool:
        """Whether it is there, or there is or can be made room for it."""
        return (
            not self.holds
            or model in self.ready_at
            or len(self.ready_at) < self.holds
            or any(not self.calls.get(other) for other in self.ready_at)
        )

    def begin(self, model: str) -> float:
        """A call begins; seconds until its model is there."""
        if not self.holds:
            return 0.0
        now = self.clock()
        if model not in self.ready_at:
            if len(self.ready_at) >= self.holds:
                del self.ready_at[next(other for other in self.ready_at if not self.calls.get(other))]
            self.loads[model] = self.loads.get(model, 0) + 1
            self.ready_at[model] = now + self.load_s
        self.ready_at[model] = self.ready_at.pop(model)
        self.calls[model] = self.calls.get(model, 0) + 1
        return max(0.0, self.ready_at[model] - now)

    def end(self, model: str) -> None:
        """A call that had begun has ended."""
        if self.holds:
            self.calls[model] -= 1

    def drop(self, model: str) -> None:
        """It leaves the memory, unless somebody calls it."""
        if not self.calls.get(model):
            self.ready_at.pop(model, None)
