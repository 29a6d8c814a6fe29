"""Source files of the package, even if it is compiled; each is read and parsed once per process."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "amqpbroker"

MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def text(path: Path) -> str:
    return path.read_text()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(text(path))


def last_name(node: ast.expr) -> str:
    """Return `c` of `a.b.c` and `a` of `a`; "" of anything else."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


@cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Return all nodes of a module or of a part of it."""
    return tuple(ast.walk(tree))
