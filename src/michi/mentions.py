"""What a piece of SQL mentions: the relations that it reads, locks and changes, and the functions that it calls. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pglast import ast
from pglast.visitors import Visitor

Mode = Literal[
    "AccessShare", "RowShare", "RowExclusive", "ShareUpdateExclusive", "Share", "ShareRowExclusive", "Exclusive", "AccessExclusive",
]  # fmt: skip


class _Mentions(Visitor):
    """Called by pglast for each node of these kinds, outermost first."""

    def __init__(self) -> None:
        self.relations: list[Any] = []
        self.common: set[str] = set()
        self.locked: set[tuple[Any, Any]] = set()
        self.changed: set[tuple[Any, Any]] = set()
        self.functions: set[str] = set()

    def visit_RangeVar(self, _ancestors: Any, node: Any) -> None:
        self.relations.append(node)

    def visit_CommonTableExpr(self, _ancestors: Any, node: Any) -> None:
        self.common.add(node.ctename)
        if isinstance(node.ctequery, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt):
            self.changed.add(_identity(node.ctequery.relation))

    def visit_SelectStmt(self, _ancestors: Any, node: Any) -> None:
        if node.lockingClause:
            self.locked |= {_identity(item) for item in node.fromClause or () if isinstance(item, ast.RangeVar)}

    def visit_FuncCall(self, _ancestors: Any, node: Any) -> None:
        self.functions.add(node.funcname[-1].sval)


def _identity(relation: Any) -> tuple[Any, Any]:
    return relation.schemaname, relation.relname


def list_relations(node: Any) -> Iterator[tuple[Any, Mode]]:
    """Each relation below the node with the lock that reading it takes, or changing it in a WITH; names of a WITH are none."""
    if node is None:
        return
    found = _Mentions()
    found(node)
    for relation in found.relations:
        key = _identity(relation)
        if relation.schemaname is None and relation.relname in found.common and key not in found.changed:
            continue
        yield relation, "RowExclusive" if key in found.changed else "RowShare" if key in found.locked else "AccessShare"


def list_functions(node: Any) -> set[str]:
    """The names of the functions that are called below the node, without their schemas."""
    found = _Mentions()
    found(node)
    return found.functions
