"""What the numbers were measured on: processors, memory, and the version of everything that took part."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from kotobamichi.embedded import find_programs

PACKAGES = ("litestar", "granian", "uvloop", "msgspec", "psycopg", "psycopg-binary", "pglast")
PROGRAMS = {"wrk": ("-v",), "hyperfine": ("--version",), "node": ("--version",), "npm": ("--version",)}


def describe() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "memory_gib": round(int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": platform.platform(),
        # Other work on the machine makes every number below worse than it is.
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": {
            "kotobamichi": metadata.version("kotobamichi"),
            "python": platform.python_version(),
            "postgresql": _say([str(find_programs() / "postgres"), "--version"]),
            **{name: metadata.version(name) for name in PACKAGES},
            **{name: _say([name, *options]) for name, options in PROGRAMS.items() if shutil.which(name)},
        },
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """For people."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        f"{facts['cores']} cores ({facts['processor']}), {facts['memory_gib']} GiB, {facts['system']}",
        f"load average at the start: {', '.join(map(str, facts['load_average']))}",
        versions,
    ]


def _field(path: str, name: str) -> str | None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _say(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    match = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else "unknown"
