"""michi.sql and michi.folder on scripts that nobody writes by hand: very large ones, and headers of any shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pglast.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from michi.errors import MichiError
from michi.folder import Migration
from michi.sql import _plain_slices, _slices_between_semicolons, leading_blank

MEGABYTE = 10**6
STATEMENT_BYTES = 1_000
LONGEST_SECONDS = 10
MOST_MEGABYTES = 800
# In a process of its own, because the peak of a process's memory never comes down again, and the kernel can end it. Processor time
# counts, which does not grow with what else the machine does.
SPLIT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2])))
from pathlib import Path
from michi.sql import split
found = split(Path(sys.argv[1]).read_text(encoding="utf-8"), Path("up.sql"))
print(len(found), found[-1].line, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(
    "row",
    ["('taberu', 'to eat'),\n", "('食べる', 'たべる'),\n"],
    ids=["ascii", "japanese"],
)
def test_a_script_of_50_megabytes_is_split_in_time_and_memory(tmp_path: Path, row: str) -> None:
    rows = STATEMENT_BYTES // len(row.encode())
    statement = "INSERT INTO words VALUES\n" + (row * rows).removesuffix(",\n") + ";\n"
    count = 50 * MEGABYTE // len(statement.encode())
    script = tmp_path / "up.sql"
    script.write_text(statement * count, encoding="utf-8")
    command = [sys.executable, "-c", SPLIT, str(script), str(LONGEST_SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}; the kernel ends it after {LONGEST_SECONDS} s"
    found, last_line, megabytes = map(int, done.stdout.split())
    assert found == count
    assert last_line == (count - 1) * (rows + 1) + 1
    assert megabytes < MOST_MEGABYTES


PLAIN = [
    "SELECT ", "a ", "1 ", ",", "=", "-", "/", "*", "+", "|", "'b;--c' ", "''", '"d;e"', "(", ")", ";", ";", " ", "-- f; 'g\n", "あ"
]  # fmt: skip


@given(st.lists(st.sampled_from(PLAIN), max_size=30).map("".join))
def test_what_is_cut_without_the_parser_is_cut_at_its_scanners_semicolons(script: str) -> None:
    plain = _plain_slices(script)
    if plain is not None:
        tokens = [(token.name, token.start) for token in pglast.parser.scan(script)]
        assert statements(script, plain) == statements(script, _slices_between_semicolons(tokens, len(script)))


@pytest.mark.parametrize(
    "script", ["CREATE TABLE a (b int DEFAULT -1, c text DEFAULT 'd;e');\n\n-- い;\nSELECT 4 / 2;", "SELECT 1"]
)
def test_a_plain_script_needs_no_parser(script: str) -> None:
    assert _plain_slices(script) is not None


def statements(script: str, slices: list[tuple[int, int]]) -> list[str]:
    texts = [script[start:end] for start, end in slices]
    texts = [text[leading_blank(text) :].rstrip() for text in texts]
    return [text for text in texts if text]


KEYS = ["transaction", "phase", "safe-from", "lock_timeout", "statement_timeout", "speed", "Phase", ""]
VALUES = [
    "on", "off", "expand", "contract", "20260101000000_one", "20990101000000_later", "3s", "10min", "1e9h", "99999999999d", "0s",
    "3", "-1s", "", "３s", "on;",
]  # fmt: skip
DIRECTIVES = st.builds(
    lambda before, key, equals, value, after: f"{before}-- michi:{key}{equals}{value}{after}",
    st.sampled_from(["", " ", "\t", "/*", "\ufeff", "SELECT 1; "]),
    st.sampled_from(KEYS) | st.text(max_size=8),
    st.sampled_from(["=", " = ", " ", "==", "\x85=\u2028"]),
    st.sampled_from(VALUES) | st.text(max_size=12),
    st.sampled_from(["", " ", "\r", "\x00", " -- why"]),
)
LINES = st.sampled_from(["", "-- a comment", "SELECT 1;", "/* michi: phase = contract */", "-- michi", "-- michi:"])
HEADERS = st.lists(DIRECTIVES | LINES | st.text(max_size=20), max_size=8).map("\n".join)


def read_header(content: bytes) -> str | None:
    """The code of michi's error, or None for a header that it reads; anything else that is raised fails the test."""
    migration = Migration("20260102000000_two", Path("folder"), {"up.sql": content})
    try:
        found = migration.directives
    except MichiError as error:
        return error.code
    assert found.phase in {"expand", "contract"}
    assert found.statement_timeout_seconds >= 0
    return None


@given(HEADERS)
def test_any_header_is_read_or_refused(text: str) -> None:
    read_header(text.encode("utf-8", "surrogatepass"))


@given(st.binary(), HEADERS, st.integers(0, 200))
def test_any_bytes_in_a_header_are_read_or_refused(noise: bytes, text: str, at: int) -> None:
    content = text.encode("utf-8", "surrogatepass")
    read_header(content[:at] + noise + content[at:])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xef\xbb\xbf-- michi: phase = contract\r\nSELECT 1;", None),
        (b"-- michi: phase = contract\0", "folder.invalid"),
        (b"-- michi: phase = contract \xff", "folder.invalid"),
        (b"-- michi: lock_timeout = " + b"9" * 400 + b"d", "folder.directive"),
    ],
)
def test_a_header_of_odd_bytes(content: bytes, code: str | None) -> None:
    assert read_header(content) == code
