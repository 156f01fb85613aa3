"""How two catalogues differ, as a list of changes that turn the first into the second. Writes no SQL; that is steps.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from michi.catalogue import Catalogue, Column, Constraint, Enum, Index, Other, Sequence, Table
from michi.ddl import short_type
from michi.judge import Judge

Action = Literal["add", "drop", "alter", "rename"]
SIGNS: dict[Action, str] = {"add": "+", "drop": "-", "alter": "~", "rename": "~"}
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Change:
    """One difference. `kind` is table, column, index, check ..., or a column's aspect such as `type`; `table` is where it is.

    `before` and `after` are the objects themselves; `detail` says for people what differs.
    """

    action: Action
    kind: str
    name: str
    table: str | None = None
    before: Any = None
    after: Any = None
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"action": self.action, "kind": self.kind, "name": self.path, "detail": self.detail or None}

    @property
    def path(self) -> str:
        return f"{self.table}.{self.name}" if self.table is not None and self.table != self.name else self.name

    def sentence(self) -> str:
        return f"{SIGNS[self.action]} {self.kind} {self.path}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Scope:
    """What can be compared. `models` says which side is made of models, which know no functions, triggers and the like.

    `named` holds (table, name) of the constraints that the models name; other names there are nobody's choice. `domains` are
    those that the models define; others, like functions, are made by hand. With `validity` False a constraint that was validated is
    like one that was not.
    """

    models: Literal["before", "after"] | None = None
    named: frozenset[tuple[str, str]] = frozenset()
    domains: frozenset[str] = frozenset()
    validity: bool = True


def differences(before: Catalogue, after: Catalogue, scope: Scope, judge: Judge) -> list[Change]:
    """All changes from `before` to `after`; those of one kind together, dependent objects not yet in a working order."""
    if scope.models is not None:
        before, after = _without_partitions(before), _without_partitions(after)
    changes = [
        *_mapping("enum", before.enums, after.enums, _compare_enums),
        *_mapping("sequence", before.sequences, after.sequences, _compare_sequences),
        *_mapping("table", before.tables, after.tables, lambda a, b: _compare_tables(a, b, scope, judge)),
    ]
    return [*changes, *_compare_others(before, after, scope)]


def _without_partitions(catalogue: Catalogue) -> Catalogue:
    return replace(catalogue, tables={n: t for n, t in catalogue.tables.items() if t.partition_of is None})


def _mapping(
    kind: str,
    before: Mapping[str, Thing],
    after: Mapping[str, Thing],
    compare: Callable[[Thing, Thing], Iterator[Change]],
    table: str | None = None,
) -> Iterator[Change]:
    for name, thing in after.items():
        if name not in before:
            yield Change("add", kind, name, table, after=thing)
        else:
            yield from compare(before[name], thing)
    for name, thing in before.items():
        if name not in after:
            yield Change("drop", kind, name, table, before=thing)


def _compare_others(before: Catalogue, after: Catalogue, scope: Scope) -> Iterator[Change]:
    def compare(first: Other, second: Other) -> Iterator[Change]:
        if first.create != second.create:
            yield Change("alter", first.kind, first.name, before=first, after=second, detail="another definition")

    def chosen(catalogue: Catalogue, kind: str) -> dict[str, Other]:
        return {
            name: other
            for (its, name), other in catalogue.others.items()
            if its == kind and (scope.models is None or (kind == "domain" and name in scope.domains))
        }

    for kind in sorted({kind for kind, _ in [*before.others, *after.others]}):
        yield from _mapping(kind, chosen(before, kind), chosen(after, kind), compare)


def _compare_enums(before: Enum, after: Enum) -> Iterator[Change]:
    if before.labels != after.labels:
        added = [label for label in after.labels if label not in before.labels]
        gone = [label for label in before.labels if label not in after.labels]
        said = [f"{'+' if label in added else '-'}{label}" for label in [*added, *gone]] or ["another order"]
        yield Change("alter", "enum", before.name, before=before, after=after, detail=", ".join(said))
    if before.comment != after.comment:
        yield Change("alter", "comment of enum", before.name, before=before, after=after)


def _compare_sequences(before: Sequence, after: Sequence) -> Iterator[Change]:
    if (before.options, before.owned_by) != (after.options, after.owned_by):
        yield Change(
            "alter", "sequence", before.name, before=before, after=after, detail=_arrow(before.options, after.options)
        )
    if before.comment != after.comment:
        yield Change("alter", "comment of sequence", before.name, before=before, after=after)


def _compare_tables(before: Table, after: Table, scope: Scope, judge: Judge) -> Iterator[Change]:
    name = before.name
    yield from _mapping("column", before.columns, after.columns, lambda a, b: _compare_columns(name, a, b, judge), name)
    yield from _compare_constraints(before, after, scope, judge)
    yield from _compare_indexes(before, after, judge)
    if before.comment != after.comment:
        yield Change("alter", "comment of table", name, name, before, after)
    if before.unlogged != after.unlogged:
        yield Change("alter", "logging", name, name, before, after, "UNLOGGED" if after.unlogged else "LOGGED")
    if (before.options, before.bound, before.partition_of) != (after.options, after.bound, after.partition_of):
        yield Change("alter", "options", name, name, before, after, _arrow(before.options, after.options))


def _arrow(before: str | None, after: str | None) -> str:
    return f"{before or 'none'} → {after or 'none'}"


def _compare_columns(table: str, before: Column, after: Column, judge: Judge) -> Iterator[Change]:
    def change(kind: str, shown: Callable[[Column], str]) -> Change:
        return Change("alter", kind, before.name, table, before, after, _arrow(shown(before), shown(after)))

    if (before.generated, after.generated) != ("", "") and not _same_generation(table, before, after, judge):
        yield change("generated", _default)  # it is made anew, so nothing else of it can differ
        return
    if (before.type, before.collation) != (after.type, after.collation):
        yield change("type", _type)
    elif not before.generated and not _same_default(table, before, after, judge):
        yield change("default", _default)
    if any(getattr(before, fact) != getattr(after, fact) for fact in ("identity", "identity_options", "serial")):
        yield change("identity", _identity)
    if before.not_null != after.not_null:
        yield change("null", lambda column: "not null" if column.not_null else "null")
    if before.comment != after.comment:
        yield Change("alter", "comment of column", before.name, table, before, after)


def _type(column: Column) -> str:
    return short_type(column.type) + (f" COLLATE {column.collation}" if column.collation else "")


def _default(column: Column) -> str:
    return column.default.shown if column.default is not None else ""


def _identity(column: Column) -> str:
    return "serial" if column.serial else f"{column.identity} {column.identity_options}".strip()


def _same_generation(table: str, before: Column, after: Column, judge: Judge) -> bool:
    if before.generated != after.generated or before.type != after.type or None in (before.default, after.default):
        return False
    assert before.default is not None
    assert after.default is not None
    return judge.same_expression(table, before.default.exact, after.default.exact)


def _same_default(table: str, before: Column, after: Column, judge: Judge) -> bool:
    if before.default is None or after.default is None:
        return before.default is after.default
    return judge.same_default(table, before.name, before.default.exact, after.default.exact)


def _compare_constraints(before: Table, after: Table, scope: Scope, judge: Judge) -> Iterator[Change]:
    """Held together by definition first: where nobody chose a name, it says nothing."""
    pairs, gone, new = _pair(
        before.constraints, after.constraints, lambda a, b: _same_constraint(before.name, a, b, judge)
    )
    for old, now in pairs:
        chosen = old.name if scope.models == "before" else now.name
        if old.name != now.name and (scope.models is None or (before.name, chosen) in scope.named):
            yield Change("rename", now.kind, old.name, before.name, old, now, f"now {now.name}")
        if old.valid != now.valid and scope.validity:
            yield Change("alter", "validity", now.name, before.name, old, now, "valid" if now.valid else "not valid")
        if old.comment != now.comment:
            yield Change("alter", "comment of constraint", now.name, before.name, old, now)
    for constraint in gone:
        detail = constraint.definition.shown
        yield Change("drop", constraint.kind, constraint.name, before.name, before=constraint, detail=detail)
    taken = {old.name for old, _ in pairs} | {c.name for c in gone if not c.columns <= after.columns.keys()}
    for found in new:
        chosen_by_models = scope.models is None or (before.name, found.name) in scope.named
        constraint = found if chosen_by_models else replace(found, name=_free_name(found.name, taken))
        taken.add(constraint.name)
        yield Change(
            "add", constraint.kind, constraint.name, before.name, after=constraint, detail=constraint.definition.shown
        )


def _free_name(name: str, taken: set[str]) -> str:
    """What PostgreSQL would choose where the name is taken."""
    return next(
        free for free in (name, *(f"{name}{number}" for number in range(1, len(taken) + 1))) if free not in taken
    )


def _same_constraint(table: str, first: Constraint, second: Constraint, judge: Judge) -> bool:
    if first.kind != second.kind:
        return False
    if first.definition.exact == second.definition.exact:
        return True
    if first.kind not in {"check", "exclusion"} or first.columns != second.columns:
        return False
    return judge.same_check(table, first.definition.exact, second.definition.exact)


def _compare_indexes(before: Table, after: Table, judge: Judge) -> Iterator[Change]:
    def same(first: Index, second: Index) -> bool:
        return first.unique == second.unique and (
            first.definition.exact == second.definition.exact
            or (first.columns == second.columns and judge.same_index(first.definition.exact, second.definition.exact))
        )

    pairs, gone, new = _pair(before.indexes, after.indexes, same)
    for old, now in pairs:
        if old.name != now.name:
            yield Change("rename", "index", old.name, before.name, old, now, f"now {now.name}")
        if old.valid != now.valid:
            yield Change(
                "alter", "invalid index", now.name, before.name, old, now, "valid" if now.valid else "not valid"
            )
        if old.comment != now.comment:
            yield Change("alter", "comment of index", now.name, before.name, old, now)
    for index in gone:
        yield Change("drop", "index", index.name, before.name, before=index, detail=index.definition.shown)
    for index in new:
        yield Change("add", "index", index.name, before.name, after=index, detail=index.definition.shown)


def _pair(
    before: Mapping[str, Thing], after: Mapping[str, Thing], same: Callable[[Thing, Thing], bool]
) -> tuple[list[tuple[Thing, Thing]], list[Thing], list[Thing]]:
    """Those that are the same on both sides, by name before any other; and what is left on each side."""
    left, right = dict(before), dict(after)
    alike = [name for name in before if name in after and same(before[name], after[name])]
    pairs = [(left.pop(name), right.pop(name)) for name in alike]
    for name, thing in list(right.items()):
        if (match := next((other for other, candidate in left.items() if same(candidate, thing)), None)) is not None:
            pairs.append((left.pop(match), right.pop(name)))
    return pairs, list(left.values()), list(right.values())
