"""`verify`: what CI is told about a folder of migrations, each thing that is wrong by name."""

from __future__ import annotations

import time

import pytest

from tests.support.author import Author
from tests.support.operator import Answer

KANA = 'Column("kana", Text)'


@pytest.fixture
def words(author: Author) -> Author:
    author.words(KANA)
    author.develop("Create words")
    author.words(KANA, 'Index("words_kana", "kana")')
    author.develop("Index kana")
    return author


def subjects(answer: Answer) -> list[str]:
    return [finding["subject"] for finding in answer.document["findings"]]


def change(author: Author, part: str, file: str, text: str, *, listed: bool = True) -> None:
    (name,) = [name for name in author.migrations if name.endswith(part)]
    (author.folder / name / file).write_text(text)
    if listed:
        author.sum()


def test_a_sound_folder_is_verified_without_touching_the_database(words: Author) -> None:
    before = words.query("SELECT count(*) FROM pg_class")
    answer = words.run("verify")
    assert answer.exit_code == 0, answer.stderr
    assert (answer.document["findings"], answer.document["notes"]) == ([], [])
    assert len(answer.document["checked"]) == 5
    assert words.query("SELECT count(*) FROM pg_class") == before


def test_the_database_need_not_exist(words: Author) -> None:
    del words.environment["SHADOW_DATABASE_URL"]
    there, words.url = words.url, words.url.replace("/test_", "/absent_")
    assert words.run("verify").exit_code == 0
    words.url = there
    assert words.shadows == []


def test_a_changed_file_and_a_missing_sum_are_findings(words: Author) -> None:
    change(words, "index_kana", "up.sql", "CREATE INDEX words_kana ON words (kana);\n-- changed", listed=False)
    answer = words.run("verify")
    assert (answer.exit_code, subjects(answer)) == (7, ["sum"])
    (words.folder / "michi.sum").unlink()
    assert subjects(words.run("verify")) == ["sum"]


def test_models_that_say_something_else_are_exit_3(words: Author) -> None:
    words.words(KANA)
    answer = words.run("verify")
    assert (answer.exit_code, subjects(answer)) == (3, ["models"])
    assert answer.document["findings"][0]["changes"][0]["name"] == "words.words_kana"


def test_a_down_that_does_not_lead_back_is_named_with_what_is_left(words: Author) -> None:
    change(words, "index_kana", "down.sql", "SELECT 1;")
    answer = words.run("verify")
    assert answer.exit_code == 7
    assert subjects(answer)[0] == "down"
    assert answer.document["findings"][0]["migration"].endswith("_index_kana")


def test_a_down_that_fails_and_one_that_is_missing(words: Author) -> None:
    change(words, "create_words", "down.sql", "DROP TABLE nothing;")
    (name,) = [name for name in words.migrations if name.endswith("index_kana")]
    (words.folder / name / "down.sql").unlink()
    words.sum()
    answer = words.run("verify")
    assert (answer.exit_code, subjects(answer)) == (7, ["down"])
    assert "line 1" in answer.document["findings"][0]["message"]
    assert answer.document["notes"] == [f"{name} has no down.sql, so it cannot be taken back"]


def test_an_up_that_fails_is_the_end_of_it(words: Author) -> None:
    change(words, "index_kana", "up.sql", "CREATE INDEX words_kana ON absent (kana);")
    answer = words.run("verify")
    assert (answer.exit_code, subjects(answer)) == (7, ["up"])


def test_an_up_that_makes_something_else_the_second_time(words: Author) -> None:
    name = words.write(
        "29990101000000_counts",
        "DO $$ BEGIN IF EXISTS (SELECT FROM _michi_ledger WHERE migration LIKE '%counts') THEN CREATE TABLE again ();"
        " ELSE CREATE TABLE once (); END IF; END $$;",
    )
    (words.folder / name / "down.sql").write_text("DROP TABLE IF EXISTS once, again;")
    words.sum()
    words.words(KANA, 'Index("words_kana", "kana")', more='Table("once", metadata)')
    answer = words.run("verify")
    assert (answer.exit_code, subjects(answer)) == (7, ["again"])


def test_without_models_the_rest_is_verified(words: Author) -> None:
    assert words.home is not None
    (words.home / "pyproject.toml").write_text('[tool.michi]\nmigrations = "migrations"\n')
    answer = words.run("verify")
    assert (answer.exit_code, answer.document["notes"]) == (
        0,
        ["no models are configured, so nothing was compared with them"],
    )


def test_twelve_migrations_take_a_few_seconds(words: Author) -> None:
    for number in range(10):
        name = words.write(
            f"2999010100{number:04}_more", f"CREATE TABLE t{number} (id int PRIMARY KEY, word text UNIQUE);"
        )
        (words.folder / name / "down.sql").write_text(f"DROP TABLE t{number};")
    words.sum()
    began = time.monotonic()
    answer = words.run("verify")
    assert len(words.migrations) == 12
    assert subjects(answer) == ["models"]
    assert time.monotonic() - began < 20
