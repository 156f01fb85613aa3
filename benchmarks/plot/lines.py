"""Draws panels of lines as an SVG: `python lines.py FILE`, with a description on standard input. Needs only matplotlib."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {
    "svg.fonttype": "none",  # text stays text: a tenth of the size, and it can be searched
    "svg.hashsalt": "kotobamichi",  # the same numbers give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
from matplotlib import pyplot as plt  # noqa: E402

# Told apart without colours too, by their marks.
MARKS = "osD^vP"
PANEL_INCHES = (4.6, 3.6)


def draw(description: dict[str, Any], file: str) -> None:
    panels = description["panels"]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(PANEL_INCHES[0] * len(panels), PANEL_INCHES[1]), layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        for number, (name, points) in enumerate(panel["series"].items()):
            ours = name == description["ours"]
            axis.plot(
                [x for x, _ in points], [y for _, y in points], label=name, marker=MARKS[number % len(MARKS)],
                markersize=5, linewidth=2.4 if ours else 1.3, color=f"C{number}", zorder=3 if ours else 2,
            )  # fmt: skip
        axis.set(title=panel["title"], xlabel=panel["x"], ylabel=panel["y"])
        axis.set_xticks(sorted({x for points in panel["series"].values() for x, _ in points}))
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes[0][0].legend(frameon=False)
    figure.suptitle(description["title"])
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
