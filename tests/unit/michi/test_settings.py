"""michi.settings: every way of saying where the database is, and that no password gets into a text."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from michi.errors import ConfigurationAmbiguous, ConfigurationInvalid, ConfigurationMissing, MichiError
from michi.settings import find_migrations, find_target, parse_duration, parse_url

PRINTABLE = "".join(map(chr, range(32, 127)))
# A raw percent sign before two hexadecimal digits is an escape; everywhere else it stands for itself.
RAW_PRINTABLE = PRINTABLE
EXPECTED = {"host": "db.example", "port": "5433", "dbname": "words", "user": "michi", "password": PRINTABLE}


def as_files(folder: Path, values: dict[str, str]) -> dict[str, str]:
    paths = {}
    for name, value in values.items():
        (folder / name).write_text(value)
        paths[f"{name}_FILE"] = str(folder / name)
    return paths


# The ways


@pytest.mark.parametrize("password", [quote(PRINTABLE, safe=""), RAW_PRINTABLE], ids=["percent-encoded", "raw"])
@pytest.mark.parametrize("name", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_a_url_with_every_printable_character_in_its_password(name: str, password: str, tmp_path: Path) -> None:
    url = f"postgresql://michi:{password}@db.example:5433/words"
    for environ in ({name: url}, as_files(tmp_path, {name: url + "\n"})):
        target = find_target(environ)
        assert dict(target.parameters) == EXPECTED
        assert target.source == name


def test_a_url_on_standard_input_goes_before_everything(tmp_path: Path) -> None:
    target = find_target({"DATABASE_URL": "postgresql://other/other"}, io.StringIO("postgresql://here/words\n"))
    assert (target.parameters["host"], target.source) == ("here", "standard input")


def test_the_parts_with_every_printable_character_in_the_password(tmp_path: Path) -> None:
    parts = {
        "DATABASE_HOST": "db.example",
        "DATABASE_PORT": "5433",
        "DATABASE_NAME": "words",
        "DATABASE_USER": "michi",
        "DATABASE_PASSWORD": PRINTABLE,
    }
    assert dict(find_target(parts).parameters) == EXPECTED
    assert (
        dict(find_target(as_files(tmp_path, {name: f"{value}\n" for name, value in parts.items()})).parameters)
        == EXPECTED
    )


def test_a_secret_folder_with_every_printable_character_in_the_password(tmp_path: Path) -> None:
    files = {"host": "db.example", "port": "5433", "dbname": "words", "username": "michi", "password": PRINTABLE}
    for name, value in files.items():
        (tmp_path / name).write_text(value + "\n")
    target = find_target({"DATABASE_SECRET_DIR": str(tmp_path)})
    assert dict(target.parameters) == EXPECTED
    assert target.source == "DATABASE_SECRET_DIR"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x3100, exclude_categories=("C", "Z")), min_size=1))
@example("%41")
@example("a@b:c/d?e#f")
def test_a_percent_encoded_password_of_any_text_is_read_back(password: str) -> None:
    target = parse_url(f"postgresql://michi:{quote(password, safe='')}@h/db?sslmode=disable", "DATABASE_URL")
    assert dict(target.parameters) == {
        "host": "h", "dbname": "db", "user": "michi", "password": password, "sslmode": "disable",
    }  # fmt: skip


@given(st.text(PRINTABLE.replace("%", ""), min_size=1))
@example("=a&sslmode@b?c/d")
def test_a_raw_password_is_read_back_where_the_rest_of_the_url_has_no_at_sign(password: str) -> None:
    target = parse_url(f"postgresql://michi:{password}@db.example:5433/words", "DATABASE_URL")
    assert dict(target.parameters) == EXPECTED | {"password": password}


@pytest.mark.parametrize(
    ("content", "password"),
    [
        ("secret\n", "secret"),
        ("secret\n\n", "secret\n"),
        ("secret\r\n", "secret"),
        ("secret", "secret"),
        ("s \n", "s "),
    ],
)
def test_a_file_loses_exactly_one_trailing_newline(content: str, password: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(content.encode())
    environ = {"DATABASE_HOST": "h", "DATABASE_PASSWORD_FILE": str(tmp_path / "password")}
    assert find_target(environ).parameters["password"] == password


def test_migration_database_url_goes_before_database_url() -> None:
    environ = {"DATABASE_URL": "postgresql://pooler/a", "MIGRATION_DATABASE_URL": "postgresql://direct/a"}
    assert find_target(environ).parameters["host"] == "direct"


def test_an_empty_setting_counts_as_unset() -> None:
    assert find_target({"MIGRATION_DATABASE_URL": "", "DATABASE_URL": "postgresql://h/a"}).parameters["host"] == "h"


# Refused


@pytest.mark.parametrize(
    "second", ["DATABASE_URL_FILE", "DATABASE_HOST", "DATABASE_PASSWORD_FILE", "DATABASE_SECRET_DIR"]
)
def test_two_ways_at_once_are_refused(second: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://h/a", second: str(tmp_path)}
    with pytest.raises(ConfigurationAmbiguous, match=second):
        find_target(environ)


def test_parts_and_a_secret_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationAmbiguous):
        find_target({"DATABASE_HOST": "h", "DATABASE_SECRET_DIR": str(tmp_path)})


def test_nothing_configured_says_what_to_set() -> None:
    with pytest.raises(ConfigurationMissing) as caught:
        find_target({})
    assert "DATABASE_URL" in caught.value.remedy


@pytest.mark.parametrize(
    "environ",
    [
        {"DATABASE_URL_FILE": "/nowhere/url"},
        {"DATABASE_SECRET_DIR": "/nowhere"},
        {"DATABASE_URL": "mysql://h/a"},
        {"DATABASE_URL": "postgresql://h/a?colour=red"},
        {"DATABASE_URL": "postgresql://h:port/a"},
    ],
)
def test_what_cannot_be_read_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationInvalid):
        find_target(environ)


def test_an_empty_url_file_is_not_passed_over_for_the_next_setting(tmp_path: Path) -> None:
    environ = as_files(tmp_path, {"MIGRATION_DATABASE_URL": "\n"}) | {"DATABASE_URL": "postgresql://pooler/a"}
    with pytest.raises(ConfigurationInvalid, match="MIGRATION_DATABASE_URL"):
        find_target(environ)


def test_an_empty_standard_input_is_refused() -> None:
    with pytest.raises(ConfigurationMissing):
        find_target({}, io.StringIO("\n"))


FORMS = [
    "{}",
    "postgresql://u:{}",
    "mysql://u:{}@h/d",
    "postgresql://u:{}@h:x/d",
    "postgresql://u:{}@h/d?{}=1",
    "postgresql://u:{}@h/d",
]


@given(st.text(PRINTABLE, min_size=4, max_size=30), st.sampled_from(FORMS))
def test_no_error_and_no_description_repeats_the_password(noise: str, form: str) -> None:
    password = f"Zq{noise}qZ"
    try:
        target = parse_url(form.format(password, password), "DATABASE_URL")
    except MichiError as error:
        text = str(error.as_dict())
    else:
        assert form.startswith("postgresql://u:{}")
        if target.parameters.get("password") != password:
            return  # a raw password that reads as another URL: nobody could know better
        text = target.describe() + repr(target)
    assert password not in text
    assert "Zq" not in text


# What a URL may say


def test_schema_is_the_search_path_and_no_libpq_parameter() -> None:
    target = parse_url("postgres://h/a?schema=words", "DATABASE_URL")
    assert target.schema == "words"
    assert dict(target.parameters) == {"host": "h", "dbname": "a"}
    assert parse_url("postgres://h/a", "DATABASE_URL").schema == "public"


def test_prismas_parameters_are_dropped() -> None:
    url = "postgresql://h/a?schema=public&connection_limit=5&pgbouncer=true&pool_timeout=3&sslmode=require"
    assert dict(parse_url(url, "DATABASE_URL").parameters) == {"host": "h", "dbname": "a", "sslmode": "require"}


def test_a_plus_sign_in_a_parameter_is_a_plus_sign() -> None:
    assert parse_url("postgresql://h/a?sslrootcert=/a+b%20c", "DATABASE_URL").parameters["sslrootcert"] == "/a+b c"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://h/a", "h", None),
        ("postgresql://h:1/a", "h", "1"),
        ("postgresql://[::1]:2/a", "::1", "2"),
        ("postgresql://%2Frun%2Fpg/a", "/run/pg", None),
        ("postgresql:///a?host=/run/pg", "/run/pg", None),
        ("postgresql://x:1,y:2/a", "x,y", "1,2"),
        ("postgresql+psycopg://h/a", "h", None),
    ],
)
def test_hosts_are_read_as_libpq_reads_them(url: str, host: str, port: str | None) -> None:
    parameters = parse_url(url, "DATABASE_URL").parameters
    assert (parameters["host"], parameters.get("port"), parameters["dbname"]) == (host, port, "a")


def test_a_database_is_described_without_its_password() -> None:
    target = parse_url("postgresql://michi:secret@h:6/words", "DATABASE_URL")
    assert target.describe() == "michi@h:6/words"
    assert "secret" not in repr(target)


# Durations, the folder


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("3s", 3), ("10min", 600), ("10m", 600), ("1.5h", 5400), ("0s", 0)]
)
def test_a_duration_carries_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text, "--wait") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1800", "", "3 weeks", "-1s", "s", "1e3s", "∞"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="--wait"):
        parse_duration(text, "--wait")


def test_the_folder_comes_from_the_option_the_environment_or_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.michi]\nmigrations = "src/m"\n')
    environ = {"MICHI_MIGRATIONS": "/from/environment"}
    assert find_migrations(environ, Path("option"), tmp_path) == Path("option")
    assert find_migrations(environ, None, tmp_path) == Path("/from/environment")
    assert find_migrations({}, None, tmp_path) == tmp_path / "src/m"
    assert find_migrations({}, None, tmp_path / "elsewhere") == tmp_path / "elsewhere/migrations"
