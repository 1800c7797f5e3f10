"""A pipeline as a picture: Mermaid for pages, plain text for terminals. Pure."""

from agents.pipelines import checking
from schemas.pipelines import Pipeline, Step


def mermaid(pipeline: Pipeline) -> str:
    """A flowchart: what waits for what."""
    lines = ["flowchart TD"]
    for step in pipeline.steps:
        left, right = ("[[", "]]") if step.maps else ("[", "]")
        lines.append(f'    {step.name}{left}"{step.name}<br/>{_escaped(_about(step))}"{right}')
    for step in pipeline.steps:
        lines += [f"    {before} --> {step.name}" for before in _ordered(pipeline, step)]
    ends = [step.name for step in _last(pipeline)]
    return "\n".join([*lines, *(f"    {name} --> result([result])" for name in ends)]) + "\n"


def plain(pipeline: Pipeline) -> str:
    """A line for each step, in an order in which they can run."""
    width = max(len(step.name) for step in pipeline.steps)
    lines = [pipeline.name] + ([f"  {pipeline.description}"] if pipeline.description else [])
    for name, given in pipeline.inputs.items():
        needed = "required" if given.required else f"default {given.default!r}"
        lines.append(f"  input {name}: {given.type}, {needed}")
    for step in in_order(pipeline):
        before = _ordered(pipeline, step)
        after = f"  after {', '.join(before)}" if before else ""
        lines.append(f"  {step.name.ljust(width)}  {_about(step)}{after}")
    return "\n".join(lines) + "\n"


def in_order(pipeline: Pipeline) -> list[Step]:
    """Each behind all that it waits for; else as they stand in the definition."""
    left, ended = list(pipeline.steps), set[str]()
    made = []
    while left:
        step = next(each for each in left if checking.needs(each) <= ended)
        left.remove(step)
        ended.add(step.name)
        made.append(step)
    return made


def _about(step: Step) -> str:
    each = " for each item" if step.maps else ""
    when = " when a condition holds" if step.when is not None else ""
    failing = {"fail": "", "skip": ", skipped if it fails", "default": ", a default if it fails"}[step.on_error]
    return f"{step.use}{each}{when}{failing}"


def _ordered(pipeline: Pipeline, step: Step) -> list[str]:
    wanted = checking.needs(step)
    return [each.name for each in pipeline.steps if each.name in wanted]


def _last(pipeline: Pipeline) -> list[Step]:
    """Those that nothing waits for."""
    awaited = {name for step in pipeline.steps for name in checking.needs(step)}
    return [step for step in pipeline.steps if step.name not in awaited]


def _escaped(text: str) -> str:
    return text.replace('"', "'")
