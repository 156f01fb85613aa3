"""Which statements break an app that does not know them, by their parse tree: what a contract migration is for. Pure."""

from __future__ import annotations

from typing import Any

from pglast import ast, enums
from pglast.parser import ParseError, parse_sql

from michi.effects import Name, name_from_parts, name_of

AT = enums.AlterTableType
CONSTR = enums.ConstrType
OBJECT = enums.ObjectType

DROPPED = {
    OBJECT.OBJECT_TABLE: "table", OBJECT.OBJECT_VIEW: "view", OBJECT.OBJECT_MATVIEW: "materialized view",
    OBJECT.OBJECT_SEQUENCE: "sequence", OBJECT.OBJECT_TYPE: "type", OBJECT.OBJECT_FUNCTION: "function",
    OBJECT.OBJECT_PROCEDURE: "procedure", OBJECT.OBJECT_SCHEMA: "schema", OBJECT.OBJECT_DOMAIN: "domain",
}  # fmt: skip
RENAMED = {
    OBJECT.OBJECT_COLUMN: "column", OBJECT.OBJECT_TABLE: "table", OBJECT.OBJECT_VIEW: "view", OBJECT.OBJECT_TYPE: "type",
    OBJECT.OBJECT_FUNCTION: "function", OBJECT.OBJECT_SEQUENCE: "sequence", OBJECT.OBJECT_SCHEMA: "schema",
    OBJECT.OBJECT_ATTRIBUTE: "attribute", OBJECT.OBJECT_MATVIEW: "materialized view",
}  # fmt: skip
ALTERED = {
    AT.AT_DropColumn: "drops the column {}", AT.AT_SetNotNull: "makes the column {} NOT NULL",
    AT.AT_AlterColumnType: "changes the type of the column {}", AT.AT_DropIdentity: "takes the identity of the column {}",
    AT.AT_DropExpression: "stops generating the column {}",
}  # fmt: skip


def find_breaks(text: str, new: frozenset[Name] = frozenset()) -> list[str]:
    """What one statement takes away from apps that run, each as `drops the column words.kana`; nothing about what is in `new`."""
    try:
        node = parse_sql(text)[0].stmt
    except (ParseError, IndexError):
        return []
    if isinstance(node, ast.DropStmt):
        return _drop(node, new)
    if isinstance(node, ast.RenameStmt):
        return _rename(node, new)
    if isinstance(node, ast.AlterTableStmt | ast.AlterObjectSchemaStmt) and node.relation is not None:
        return _alter_table(node, name_of(node.relation), new)
    if isinstance(node, ast.AlterEnumStmt) and node.oldVal is not None:
        return [f"renames the value {node.oldVal} of {name_from_parts(node.typeName)}"]
    return []


def _alter_table(node: Any, table: Name, new: frozenset[Name]) -> list[str]:
    if table in new:
        return []
    if isinstance(node, ast.AlterObjectSchemaStmt):
        return [f"moves {table} to another schema"]
    return [what for command in node.cmds or () if (what := _alter(command, table)) is not None]


def _drop(node: Any, new: frozenset[Name]) -> list[str]:
    what = DROPPED.get(node.removeType)
    if what is None:
        return []
    names = [_object_name(item) for item in node.objects]
    return [f"drops the {what} {name}" for name in names if name not in new]


def _object_name(item: Any) -> Name:
    if isinstance(item, ast.String):
        return Name(None, item.sval or "")
    parts = getattr(item, "names", None) or getattr(item, "objname", None) or item
    return name_from_parts(parts)


def _rename(node: Any, new: frozenset[Name]) -> list[str]:
    what = RENAMED.get(node.renameType)
    if what is None:
        return []
    if node.relation is not None:
        table = name_of(node.relation)
        shown = (
            f"{table}.{node.subname}" if node.renameType in {OBJECT.OBJECT_COLUMN, OBJECT.OBJECT_ATTRIBUTE} else table
        )
        return [] if table in new else [f"renames the {what} {shown}"]
    return [f"renames the {what} {_object_name(node.object) if node.object is not None else node.subname}"]


def _alter(command: Any, table: Name) -> str | None:
    if command.subtype in ALTERED:
        return ALTERED[command.subtype].format(f"{table}.{command.name}")
    if command.subtype == AT.AT_ColumnDefault and command.def_ is None:
        return f"drops the default of the column {table}.{command.name}"
    if command.subtype == AT.AT_AddColumn:
        kinds = {constraint.contype for constraint in command.def_.constraints or ()}
        given = kinds & {CONSTR.CONSTR_DEFAULT, CONSTR.CONSTR_IDENTITY, CONSTR.CONSTR_GENERATED}
        if CONSTR.CONSTR_NOTNULL in kinds and not given and "serial" not in command.def_.typeName.names[-1].sval:
            return f"adds the column {table}.{command.def_.colname}, which every INSERT must fill"
    return None
