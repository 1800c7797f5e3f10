"""How a run ends, by its items."""


def ended_as(succeeded: int, failed: int, stopped: int, *, cancelled: bool, late: bool) -> str:
    """All items have ended. `stopped`: cancelled or expired; `late`: the deadline has passed."""
    if not failed and not stopped:
        return "succeeded"
    if stopped and cancelled:
        return "cancelled"
    if stopped and late and not succeeded:
        return "expired"
    return "partially_failed" if succeeded else "failed"
