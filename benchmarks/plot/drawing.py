"""A plot of a benchmark's result, made by lines.py in an environment that has matplotlib."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.process import CACHE, INSTALL_SECONDS, BenchmarkFailed, environment, run

HERE = Path(__file__).parent
DRAW_SECONDS = 120.0


def draw(description: dict[str, Any], file: Path) -> None:
    """Writes an SVG. `description` has a title, the name of ours, and panels with a title, `x`, `y` and series of points."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [str(_install() / "bin" / "python"), str(HERE / "lines.py"), str(file)]
    done = subprocess.run(
        command, input=json.dumps(description), env=environment(), capture_output=True, text=True, timeout=DRAW_SECONDS, check=False
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchmarkFailed(f"the plot could not be drawn:\n{done.stderr.strip()[-800:]}")


def _install() -> Path:
    """The environment, in the cache; made anew when a pin changes."""
    folder, pins = CACHE / "plot", HERE / "requirements.txt"
    state = sys.version + pins.read_text()
    stamp = folder / "built-from"
    if not stamp.is_file() or stamp.read_text() != state:
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)], INSTALL_SECONDS)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", str(pins)], INSTALL_SECONDS)
        stamp.write_text(state)
    return folder
