"""Markdown tables of results, ready for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is text, the others are numbers and stand to the right."""
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows))


def thousands(value: float) -> str:
    return f"{value:,.0f}"


def raw(values: Sequence[float], unit: float = 1.0, digits: int = 0) -> str:
    """Every single measurement, in the order in which it was made."""
    return " ".join(f"{value * unit:.{digits}f}" for value in values)
