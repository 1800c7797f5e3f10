"""The prompt language: the part of Jinja whose cost can be counted.

A template is parsed by Jinja, then every node of it is looked up in `_ALLOWED`; what is not there is refused before
anything runs. There is no `set`, no macro, no include and no method call except a few: with names to bind, twenty
lines of `[x, x]` make a megabyte out of a byte, and no budget sees it. Loops, comparisons and `~` are rewritten so that
they spend from the budget. Constant folding is off: Jinja would compute a filter on constants while compiling.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from prompts import budget
from prompts.errors import BadTemplate, TooMuch

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Concat,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
)
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset({"upper", "lower", "strip", "startswith", "endswith"}),
    dict: frozenset({"items", "keys", "values", "get"}),
}
_CALLABLE = frozenset.union(*_METHODS.values())
_TESTS = ("boolean", "defined", "divisibleby", "even", "in", "integer", "mapping", "none", "number", "odd", "sequence")
_MAX_NODES = 5_000


class _Environment(SandboxedEnvironment):
    intercepted_binops = budget.OPERATORS

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's signature
        if operator == "**":
            raise BadTemplate("'**' is not part of the prompt language")
        return budget.arithmetic(operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - Jinja's signature
        if isinstance(obj, LoopContext):
            return not attr.startswith("_") and attr not in {"cycle", "changed"}
        return attr in _METHODS.get(type(obj), ())


@cache
def _environment() -> _Environment:
    made = _Environment(
        undefined=StrictUndefined, autoescape=False, optimized=False, trim_blocks=True, lstrip_blocks=True
    )
    made.filters = {**budget.FILTERS, "_each": budget.each, "_tick": budget.tick, "default": made.filters["default"]}
    made.tests = {name: made.tests[name] for name in _TESTS} | {
        name: made.tests[name] for name in ("==", "eq", "!=", "ne", "<", "lt", ">", "gt", "<=", "le", ">=", "ge")
    }
    made.globals = {"range": budget.bounded_range}
    return made


class _Counted(NodeTransformer):
    """Puts the budget around what loops, joins, or can take long without printing anything."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - named by Jinja
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_each")
        return node

    def _ticked(self, node: nodes.Expr) -> nodes.Filter:
        self.generic_visit(node)
        return _filtered(node, "_tick")

    visit_Compare = visit_Call = visit_Test = visit_Getitem = _ticked  # noqa: N815 - named by Jinja

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - named by Jinja
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _refuse(node: nodes.Node, what: str) -> BadTemplate:
    return BadTemplate(f"line {node.lineno}: {what} is not part of the prompt language")


def _check(node: nodes.Node) -> None:
    """Raise for the first thing that a prompt may not use."""
    if type(node) not in _ALLOWED:
        raise _refuse(node, f"'{type(node).__name__.lower()}'")
    if isinstance(node, nodes.Filter) and (node.node is None or node.name.startswith("_") or node.dyn_args):
        raise _refuse(node, f"the filter '{node.name}' used so")
    if isinstance(node, nodes.Call):
        _check_call(node)
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        raise _refuse(node, f"'{node.attr}'")
    if isinstance(node, nodes.Name) and node.name == "self":
        raise _refuse(node, "'self'")
    if isinstance(node, nodes.For) and node.recursive:
        raise _refuse(node, "a recursive loop")
    if isinstance(node, nodes.List) or (isinstance(node, nodes.Tuple) and node.ctx != "store"):
        _check_constants(node, node.items)
    if isinstance(node, nodes.Dict):
        _check_constants(node, [side for pair in node.items for side in (pair.key, pair.value)])


def _check_call(node: nodes.Call) -> None:
    target = node.node
    function = isinstance(target, nodes.Name) and target.name == "range"
    method = isinstance(target, nodes.Getattr) and target.attr in _CALLABLE
    if not (function or method) or node.dyn_args or node.dyn_kwargs:
        raise _refuse(node, "this call")


def _check_constants(node: nodes.Node, items: list[nodes.Expr]) -> None:
    """`[x, x]` around a loop variable doubles at each nesting, so a literal holds only constants."""
    if not all(isinstance(item, nodes.Const) for item in items):
        raise _refuse(node, "a list or mapping with something else than constants in it")


_TOO_DEEP = (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError)
"""What Jinja and Python raise on a template that is nested too deep or holds a number of 10,000 digits."""


def parse(source: str, limits: budget.Limits = budget.LIMITS) -> nodes.Template:
    """The checked tree of `source`."""
    if len(source) > limits.template:
        raise TooMuch(f"the template has {len(source)} characters; at most {limits.template}")
    try:
        tree = _environment().parse(source)
        found = list(tree.find_all(nodes.Node))
    except TemplateError as error:
        raise BadTemplate(f"not a template: {error}") from error
    except _TOO_DEEP as error:
        raise BadTemplate(f"the template cannot be read: {type(error).__name__}") from error
    if len(found) > _MAX_NODES:
        raise TooMuch(f"the template has {len(found)} parts; at most {_MAX_NODES}")
    for node in found:
        _check(node)
    return tree


@lru_cache(maxsize=256)
def unknowns(source: str) -> frozenset[str]:
    """The names that `source` wants to be given. Raises what `run` would raise about the template itself."""
    _compiled(source)
    return frozenset(meta.find_undeclared_variables(_environment().parse(source)) - {"range"})


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    tree = parse(source)
    try:
        return _environment().from_string(_Counted().visit(tree))
    except TemplateError as error:
        raise BadTemplate(f"not a template: {error}") from error
    except _TOO_DEEP as error:
        raise BadTemplate(f"the template cannot be compiled: {type(error).__name__}") from error


def run(source: str, variables: Mapping[str, Any], limits: budget.Limits = budget.LIMITS) -> str:
    """The rendered text. Variables must be plain JSON values: their attributes are what the check relies on."""
    template = _compiled(source)
    purse = budget.Budget(limits)
    token = budget.CURRENT.set(purse)
    parts, size = [], 0
    try:
        for part in template.generate(variables):
            size += len(part)
            purse.spend(len(part))
            if size > limits.output:
                raise TooMuch(f"the prompt is longer than {limits.output} characters")
            parts.append(part)
    except (SecurityError, TemplateError) as error:
        raise BadTemplate(str(error)) from error
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise BadTemplate(f"the template fails on these variables: {error}") from error
    finally:
        budget.CURRENT.reset(token)
    return "".join(parts)
