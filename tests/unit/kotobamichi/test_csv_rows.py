"""Words as rows of a CSV file: what is read, what is refused, and how it is told."""

from __future__ import annotations

import contextlib
import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotobamichi.words.csv_rows import LONGEST_LINE, MOST_DETAILS, TITLES, CsvRefused, CsvWord, Findings, read_csv

HEADER = b"Hiragana,English,Kanji,Level,PronunciationURL,Topic,Part of Speech,Romaji,Katakana\n"


def read(content: bytes) -> tuple[list[CsvWord], Findings]:
    findings = Findings()
    return list(read_csv(io.BytesIO(content), findings)), findings


def told(content: bytes) -> list[str]:
    return read(content)[1].told()


def refused(content: bytes) -> str:
    with pytest.raises(CsvRefused) as refusal:
        read(content)
    return str(refusal.value)


def test_a_row_becomes_a_word_with_every_column() -> None:
    words, findings = read(HEADER + "あう,to meet,会う,n5,https://a.example/x,Basics,verb,au,\n".encode())
    assert words == [
        {
            "kanji": "会う", "hiragana": "あう", "romaji": "au", "english": "to meet", "level": "N5",
            "pronunciation_url": "https://a.example/x", "topic": "Basics", "part_of_speech": "verb", "katakana": None,
        }
    ]  # fmt: skip
    assert (findings.total, findings.errors, findings.told()) == (1, 0, [])


@pytest.mark.parametrize(
    "header",
    [
        "hiragana,english",
        "\ufeffHIRAGANA,English",
        " Hira_gana , eng lish ",
        '"Hiragana","English"',
        "Hiragana,English,Anything,",
        "\n\r\nHiragana,English",
    ],
)
def test_names_of_columns_count_without_case_spaces_and_underscores(header: str) -> None:
    words, _ = read(f"{header}\r\nあう,to meet\r\n".encode())
    assert [(word["hiragana"], word["english"]) for word in words] == [("あう", "to meet")]


def test_values_are_trimmed_in_one_form_and_none_where_empty() -> None:
    words, _ = read(HEADER + "  か\u3099  ,\u3000to meet , ,,,,,,\n".encode())
    assert (words[0]["hiragana"], words[0]["english"], words[0]["kanji"]) == ("が", "to meet", None)


def test_quoted_values_hold_commas_quotes_and_line_ends() -> None:
    words, findings = read(HEADER + 'あく,"to open, ""to\r\nbecome"" open",\nあう,to meet,\n'.encode())
    assert [word["english"] for word in words] == ['to open, "to\r\nbecome" open', "to meet"]
    assert findings.total == 2


def test_rows_have_the_numbers_that_a_spreadsheet_shows() -> None:
    assert told(HEADER + 'あ,"a\nb",\n\n,b,\nい,,\n,,\n'.encode()) == [
        "Row 4: Hiragana is required",
        "Row 5: English meaning is required",
        "Row 6: Hiragana is required",
        "Row 6: English meaning is required",
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("あ,a,,N6", "Level must be one of N5,N4,N3,N2,N1"),
        ("あ,a,,,example.org", "PronunciationURL must be a valid URL with protocol"),
        ("あ,a,,,javascript:alert(1)", "PronunciationURL must be a valid URL with protocol"),
        ("あ,to open,,,,,,,, to become open", "There are more values than the header has names; a value with a comma needs quotes"),
        ("あ,a\0b", "English must not contain a NUL character"),
        ("あ," + "a" * 10_001, "English must be shorter than or equal to 10000 characters"),
        ("あ,a,,,," + "t" * 201, "Topic must be shorter than or equal to 200 characters"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_row_and_the_others_are_kept(row: str, fault: str) -> None:
    words, findings = read(HEADER + f"い,b\n{row}\nう,c\n".encode())
    assert findings.told() == [f"Row 3: {fault}"]
    assert [word["hiragana"] for word in words] == ["い", "う"]
    assert (findings.total, findings.errors) == (3, 1)


def test_commas_at_the_end_that_a_spreadsheet_adds_are_nothing() -> None:
    assert told(HEADER + "い,b,,,,,,,,,,,,\n".encode()) == []


def test_only_the_first_thousand_faults_are_told() -> None:
    _, findings = read(HEADER + b",a\n" * (MOST_DETAILS + 7))
    assert findings.errors == MOST_DETAILS + 7
    assert len(findings.told()) == MOST_DETAILS + 1
    assert findings.told()[-1] == "... and 7 more"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty: it needs a header that names at least Hiragana and English."),
        (b"\n\r\n\n", "The file is empty: it needs a header that names at least Hiragana and English."),
        (
            "あう,to meet\n".encode(),
            "The header has no Hiragana and no English. It must be the first row, with commas between the names.",
        ),
        (HEADER + b"a,b\n" * 20_000 + b"\xff", "The file is not UTF-8 text, in row 18413 or soon after it."),
        (
            b"Hiragana;English\n",
            "The header has no Hiragana and no English. It must be the first row, with commas between the names.",
        ),
        (b"Hiragana,Meaning\n", "The header has no English. It must be the first row, with commas between the names."),
        (b"Hiragana,English,hira gana\n", "The header has Hiragana more than once."),
        (HEADER + "あ,a\n".encode("utf-16"), "The file is not UTF-8 text, in row 1 or soon after it."),
        (HEADER + b"\x82\xa0,a\n", "The file is not UTF-8 text, in row 1 or soon after it."),
        (b"\x89PNG\r\n\x1a\n\0\0", "The file is not UTF-8 text, in row 1 or soon after it."),
        (HEADER + "あ,a\nい,\"b\nう,c\n".encode(), "Row 3 is no CSV: a quote is opened and not closed."),
        (HEADER + "あ,\"a\"b\n".encode(),
         "Row 2 is no CSV: something follows a closing quote; inside quotes, write a quote twice."),
        (HEADER + b"a" * (LONGEST_LINE + 1), f"Row 2 is no CSV: a line is longer than {LONGEST_LINE} characters."),
        (HEADER + b'"' + b"a\n" * 70_000, "Row 2 is no CSV: a quote is opened and not closed."),
    ],
)  # fmt: skip
def test_what_is_no_csv_of_words_is_refused_with_a_sentence(content: bytes, sentence: str) -> None:
    assert refused(content) == sentence


def test_the_file_is_left_open_for_whoever_opened_it() -> None:
    file = io.BytesIO(HEADER)
    list(read_csv(file, Findings()))
    assert not file.closed


# Anything a person might type, and what CSV gives a meaning to.
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from(',"\r\n\\あア会\u3000')), max_size=30
)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=20), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_every_row_that_was_written_is_read_or_told(
    rows: list[tuple[str, str, str]], with_mark: bool, line_end: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(("Hiragana", "English", "Romaji"))
    writer.writerows(rows)
    words, findings = read((("\ufeff" if with_mark else "") + out.getvalue()).encode())
    assert findings.total == len(rows)
    expected = [[unicodedata.normalize("NFC", value.strip()) for value in row] for row in rows]
    good = [row for row in expected if row[0] and row[1] and "\0" not in "".join(row)]
    assert [[word["hiragana"], word["english"], word["romaji"] or ""] for word in words] == good
    assert findings.errors == len(rows) - len(good)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(content: bytes) -> None:
    for prefix in (b"", HEADER):
        findings = Findings()
        with contextlib.suppress(CsvRefused):
            words = list(read_csv(io.BytesIO(prefix + content), findings))
            assert findings.total == len(words) + findings.errors


def test_titles_name_every_column_of_the_contract() -> None:
    assert list(TITLES.values()) == [
        "Kanji", "Hiragana", "Romaji", "English", "Level", "PronunciationURL", "Topic", "Part of Speech", "Katakana",
    ]  # fmt: skip
