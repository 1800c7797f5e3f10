"""What stands behind the `?`: known names only, each once, each checked."""

from collections.abc import Sequence

from starlette.requests import Request

from streams.web.problems import Problem


def told(request: Request, names: Sequence[str]) -> dict[str, str]:
    """The parameters that were given. Raises `Problem` 422 for an unknown one, one that stands twice, and an empty one."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names:
            known = f"known are {', '.join(names)}" if names else "there are none here"
            raise Problem(422, f"The parameter {name[:100]!r} is not known; {known}.")
        if name in found:
            raise Problem(422, f"The parameter {name} stands there twice; give it once.")
        if not value:
            raise Problem(422, f"The parameter {name} is empty; give it a value, or leave it out.")
        found[name] = value
    return found


def whole(name: str, given: str | None, otherwise: int, most: int) -> int:
    """A number from 1 to `most`. Raises `Problem` 422."""
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        raise Problem(422, f"{name}={given[:100]!r} is no whole number from 1 to {most}.")
    return int(given)
