"""michi.folder: order, hashes, directives, and that michi.sum notices any change."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.control import assume

from michi.errors import DirectiveInvalid, FolderInvalid, SumMismatch, UsageError
from michi.folder import Directives, Folder, Migration, read_directives, read_folder, sum_lines, write_sum

ONE = "20260101000000_one"
TWO = "20260102000000_two"
HERE = Path("up.sql")


def write(folder: Path, name: str, up: bytes = b"SELECT 1;\n", **others: bytes) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "up.sql").write_bytes(up)
    for other, content in others.items():
        (folder / name / f"{other}.sql").write_bytes(content)


def test_order_is_the_byte_order_of_the_names(tmp_path: Path) -> None:
    names = ["20260101000000_b", "20260101000000_a_b", "20260101000000_a", "20251231235959_z", "20260101000000_a1"]
    for name in names:
        write(tmp_path, name)
    found = [migration.name for migration in read_folder(tmp_path).migrations]
    assert found == sorted(names, key=str.encode)
    assert found[1:4] == ["20260101000000_a", "20260101000000_a1", "20260101000000_a_b"]
    assert read_folder(tmp_path).head == "20260101000000_b"


def test_loose_files_and_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    (tmp_path / "README.md").write_text("read me")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__pycache__").mkdir()
    assert [migration.name for migration in read_folder(tmp_path).migrations] == [ONE]


def test_a_folder_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["one", "2026_one", f"{ONE}-dash", "20260101000000_One", "20260101000000_"])
def test_a_name_that_is_no_migrations_name_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    with pytest.raises(FolderInvalid, match="not a migration's name"):
        read_folder(tmp_path)


def test_a_folder_without_up_sql_is_refused(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir()
    with pytest.raises(FolderInvalid, match=r"holds no up\.sql"):
        read_folder(tmp_path)


def test_crlf_and_lf_count_the_same(tmp_path: Path) -> None:
    write(tmp_path / "unix", ONE, b"SELECT\n1;\n", down=b"SELECT\n2;\n")
    write(tmp_path / "windows", ONE, b"SELECT\r\n1;\r\n", down=b"SELECT\r\n2;\r\n")
    unix, windows = read_folder(tmp_path / "unix"), read_folder(tmp_path / "windows")
    assert unix.migrations[0].checksum == windows.migrations[0].checksum
    assert sum_lines(unix.migrations) == sum_lines(windows.migrations)
    write_sum(unix)
    (tmp_path / "windows/michi.sum").write_bytes((tmp_path / "unix/michi.sum").read_bytes().replace(b"\n", b"\r\n"))
    read_folder(tmp_path / "windows").check_sum()


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, ONE, b"\xef\xbb\xbf-- michi: phase = contract\nSELECT 1;")
    (migration,) = read_folder(tmp_path).migrations
    assert migration.up_sql.startswith("-- michi")
    assert migration.directives.phase == "contract"


@pytest.mark.parametrize(
    ("content", "what"), [(b"SELECT 1;\nSELECT '\0';", "NUL"), (b"SELECT 1;\nSELECT '\xff';", "UTF-8")]
)
def test_what_is_not_text_is_refused_with_its_line(tmp_path: Path, content: bytes, what: str) -> None:
    write(tmp_path, ONE, content)
    with pytest.raises(FolderInvalid, match=f"line 2: .*{what}"):
        _ = read_folder(tmp_path).migrations[0].up_sql


# Directives


def test_directives_have_defaults() -> None:
    expected = Directives(None, "expand", None, None, 0.0)
    assert read_directives("CREATE TABLE a (id int);", HERE, ONE) == expected


def test_every_directive_is_read_from_the_top() -> None:
    text = (
        "-- A note.\n\n-- michi: transaction = off\n--michi:phase=contract\n"
        f"-- michi: safe-from = {ONE}\n-- michi: lock_timeout = 500ms\n-- michi: statement_timeout = 10min\nSELECT 1;"
    )
    assert read_directives(text, HERE, TWO) == Directives(False, "contract", ONE, 0.5, 600.0)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("-- michi: fase = contract", 1, "not a directive"),
        ("-- michi: phase contract", 1, "not a directive"),
        ("-- Michi: phase = contract", 1, "not a directive"),
        ("-- michi: phase = shrink", 1, "phase"),
        ("\n-- michi: transaction = no", 2, "transaction"),
        ("SELECT 1;\n-- michi: phase = contract", 2, "after the first statement"),
        ("-- michi: phase = expand\n-- michi: phase = contract", 2, "twice"),
        (f"-- michi: safe-from = {ONE}", 1, "without"),
        ("-- michi: phase = contract\n-- michi: safe-from = yesterday", 2, "safe-from"),
        ("-- michi: phase = contract\n-- michi: safe-from = 20270101000000_later", 1, "later migration"),
        ("-- michi: lock_timeout = 1800", 1, "lock_timeout"),
        ("-- michi: statement_timeout = 25d", 1, "statement_timeout"),
    ],
)
def test_a_wrong_directive_is_refused_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(DirectiveInvalid, match=what) as caught:
        read_directives(text, HERE, TWO)
    assert caught.value.details["line"] == line
    assert caught.value.exit_code == 7


@given(st.text())
def test_any_text_has_directives_or_is_refused(text: str) -> None:
    with contextlib.suppress(DirectiveInvalid):
        read_directives(text, HERE, ONE)


# michi.sum


def test_a_folder_agrees_with_the_sum_that_was_written(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    write(tmp_path, TWO, down=b"SELECT 2;", verify=b"SELECT true;")
    assert write_sum(read_folder(tmp_path)) is True
    assert write_sum(read_folder(tmp_path)) is False
    read_folder(tmp_path).check_sum()


def test_a_folder_without_a_sum_passes(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    read_folder(tmp_path).check_sum()


@pytest.mark.parametrize("change", ["added", "removed", "down added", "renamed"])
def test_the_sum_names_the_first_migration_that_differs(tmp_path: Path, change: str) -> None:
    write(tmp_path, ONE)
    write(tmp_path, TWO)
    write_sum(read_folder(tmp_path))
    named = TWO
    if change == "added":
        named = "20260103000000_three"
        write(tmp_path, named)
    elif change == "removed":
        (tmp_path / TWO / "up.sql").unlink()
        (tmp_path / TWO).rmdir()
    elif change == "down added":
        (tmp_path / TWO / "down.sql").write_text("SELECT 3;")
    else:
        named = "20260102000000_zwei"
        (tmp_path / TWO).rename(tmp_path / named)
    with pytest.raises(SumMismatch, match=named):
        read_folder(tmp_path).check_sum()


def test_two_branches_that_each_add_a_migration_conflict_in_version_control(tmp_path: Path) -> None:
    first = Migration(ONE, tmp_path, {"up.sql": b"1"})
    second = Migration(TWO, tmp_path, {"up.sql": b"2"})
    third = Migration("20260103000000_three", tmp_path, {"up.sql": b"3"})
    assert sum_lines([first, third])[-1] != sum_lines([first, second, third])[-1]


FILES = {"up.sql": b"CREATE TABLE a (id int);\r\nSELECT 1;\r\n\n", "down.sql": b"DROP TABLE a;\n"}
BYTE = st.integers(0, 255)


def changed(content: bytes, position: int, byte: int) -> bytes:
    position %= len(content)
    return content[:position] + bytes([byte]) + content[position + 1 :]


@given(st.integers(0, 10**6), BYTE)
def test_any_changed_byte_of_the_sum_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("sum")
    write(folder, ONE, FILES["up.sql"], down=FILES["down.sql"])
    write(folder, TWO)
    write_sum(read_folder(folder))
    before = (folder / "michi.sum").read_bytes()
    after = changed(before, position, byte)
    assume(after != before)
    (folder / "michi.sum").write_bytes(after)
    with pytest.raises(SumMismatch):
        read_folder(folder).check_sum()


def test_a_line_end_of_the_sum_changed_into_any_other_byte_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    write_sum(read_folder(tmp_path))
    before = (tmp_path / "michi.sum").read_bytes()
    for position in (position for position, byte in enumerate(before) if byte == 0x0A):
        for byte in set(range(256)) - {0x0A}:
            (tmp_path / "michi.sum").write_bytes(changed(before, position, byte))
            with pytest.raises(SumMismatch):
                read_folder(tmp_path).check_sum()


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10**6), BYTE)
def test_any_changed_byte_of_a_file_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, name: str, position: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("sum")
    write(folder, ONE, FILES["up.sql"], down=FILES["down.sql"])
    write_sum(read_folder(folder))
    after = changed(FILES[name], position, byte)
    assume(after.replace(b"\r\n", b"\n") != FILES[name].replace(b"\r\n", b"\n"))
    (folder / ONE / name).write_bytes(after)
    with pytest.raises(SumMismatch, match=ONE):
        read_folder(folder).check_sum()


def test_the_checksum_of_the_ledger_is_the_one_of_up_sql_alone() -> None:
    with_down = Migration(ONE, HERE, {"up.sql": b"1", "down.sql": b"2"})
    assert with_down.checksum == Migration(ONE, HERE, {"up.sql": b"1"}).checksum
    assert Folder(HERE, (with_down,), None).find(ONE) is with_down
