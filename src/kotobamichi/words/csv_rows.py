"""Words as rows of a CSV file: what the header names, what a row must hold, how its faults are told. Storing is elsewhere.

A row's number is the one a spreadsheet shows: the header is row 1, and blank lines count, though they are no rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from kotobamichi.bodies import LONGEST_TEXT, clean, is_web_address
from kotobamichi.words.bodies import LONGEST_LABEL
from kotobamichi.words.schemas import LEVELS

# In the order in which an export has them: the column of the table, and its title.
TITLES = {
    "kanji": "Kanji",
    "hiragana": "Hiragana",
    "romaji": "Romaji",
    "english": "English",
    "level": "Level",
    "pronunciation_url": "PronunciationURL",
    "topic": "Topic",
    "part_of_speech": "Part of Speech",
    "katakana": "Katakana",
}
LONGEST_OF = {"topic": LONGEST_LABEL, "part_of_speech": LONGEST_LABEL, "pronunciation_url": 2048}
# No more of a line is ever in memory; a row of the longest values fits.
LONGEST_LINE = 200_000
MOST_DETAILS = 1000

CsvWord = dict[str, str | None]


class CsvRefused(Exception):
    """The file as a whole is no CSV of words: one sentence that says why."""


def _key(title: str) -> str:
    """Titles are compared without case, spaces and underscores."""
    return "".join(title.split()).replace("_", "").lower()


COLUMN_OF = {_key(title): column for column, title in TITLES.items()}


@dataclass
class Findings:
    """What was found so far: rows, rows with faults, and what is wrong with the first thousand faults."""

    total: int = 0
    errors: int = 0
    details: list[str] = field(default_factory=list)
    left_out: int = 0

    def note(self, row: int, faults: list[str]) -> None:
        self.errors += 1
        for fault in faults:
            if len(self.details) < MOST_DETAILS:
                self.details.append(f"Row {row}: {fault}")
            else:
                self.left_out += 1

    def told(self) -> list[str]:
        return [*self.details, f"... and {self.left_out} more"] if self.left_out else self.details


def read_csv(file: IO[bytes], findings: Findings) -> Iterator[CsvWord]:
    """Every good row as a word with all columns; what is wrong with the others is noted. Reads as it goes, never the whole.

    Raises CsvRefused for what is not UTF-8 (with or without a byte order mark), has no usable header, or breaks the rules of
    quoting, which may leave any number of rows unread.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(_lines(text), strict=True)
    number = 0
    try:
        header: list[str] = []
        while not header:
            header = next(reader, [])
            number += 1
            if not header and reader.line_num < number:
                raise CsvRefused("The file is empty: it needs a header that names at least Hiragana and English.")
        columns = _read_header(header)
        for row in reader:
            number += 1
            if row:
                findings.total += 1
                word, faults = _read_row(row, columns)
                if faults:
                    findings.note(number, faults)
                else:
                    yield word
    except UnicodeDecodeError:
        raise CsvRefused(f"The file is not UTF-8 text, in row {number + 1} or soon after it.") from None
    except csv.Error as error:
        raise CsvRefused(f"Row {number + 1} is no CSV: {_explain(error)}.") from None
    finally:
        text.detach()


def _lines(text: IO[str]) -> Iterator[str]:
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"a line is longer than {LONGEST_LINE} characters")
        yield line


def _explain(error: csv.Error) -> str:
    said = str(error)
    if "unexpected end of data" in said or "field limit" in said:
        return "a quote is opened and not closed"
    if "expected after" in said:
        return "something follows a closing quote; inside quotes, write a quote twice"
    return said


def _read_header(titles: list[str]) -> list[str | None]:
    """The table's column for each of the file's, None for those that are passed over."""
    columns = [COLUMN_OF.get(_key(title)) for title in titles]
    known = [column for column in columns if column]
    missing = [TITLES[column] for column in ("hiragana", "english") if column not in known]
    if missing:
        raise CsvRefused(
            f"The header has no {' and no '.join(missing)}. It must be the first row, with commas between the names."
        )
    twice = sorted({TITLES[column] for column in known if known.count(column) > 1})
    if twice:
        raise CsvRefused(f"The header has {' and '.join(twice)} more than once.")
    return columns


def _read_row(row: list[str], columns: list[str | None]) -> tuple[CsvWord, list[str]]:
    """The word, and what is wrong with it."""
    word: CsvWord = dict.fromkeys(TITLES)
    for column, value in zip(columns, row, strict=False):
        if column and value:
            word[column] = clean(value) or None
    faults = list(_find_missing(word))
    if word["level"] is not None:
        word["level"] = word["level"].upper()
        if word["level"] not in LEVELS:
            faults.append(f"Level must be one of {','.join(LEVELS)}")
    if word["pronunciation_url"] is not None and not is_web_address(word["pronunciation_url"]):
        faults.append("PronunciationURL must be a valid URL with protocol")
    if len(row) > len(columns) and any(row[len(columns) :]):
        faults.append("There are more values than the header has names; a value with a comma needs quotes")
    if sum(map(len, row)) > LONGEST_LABEL or any("\0" in value for value in row):
        faults += _find_unfit(word)
    return word, faults


def _find_missing(word: CsvWord) -> Iterator[str]:
    if word["hiragana"] is None:
        yield "Hiragana is required"
    if word["english"] is None:
        yield "English meaning is required"


def _find_unfit(word: CsvWord) -> Iterator[str]:
    """What is too long, or cannot be stored."""
    for column, text in word.items():
        most = LONGEST_OF.get(column, LONGEST_TEXT)
        if text is not None and len(text) > most:
            yield f"{TITLES[column]} must be shorter than or equal to {most} characters"
        if text is not None and "\0" in text:
            yield f"{TITLES[column]} must not contain a NUL character"
