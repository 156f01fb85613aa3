"""When an answer is right. Pure: no web, no database.

Grading is a learner's: what shows that the word is known is right, however it is written. A word of other meaning or sound is not.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from dataclasses import dataclass

from kotobamichi.quizzes.kana import Sounds, fold_long_vowels, latin_of, sounds_of, spells, to_hiragana

LATIN_MARKS = re.compile("[\u0300-\u036f]")
# Everything but letters and digits of any script; the sign of long vowels is a letter to Unicode.
SIGNS = re.compile(r"[\W_]+")
SPACES = re.compile(r"\s+")
KANA = re.compile("[\u3041-\u309f]")
# Between glosses, and not inside brackets.
BETWEEN_GLOSSES = re.compile(r"(?:[,;、\n]|\s/\s)(?![^()\[\]]*[)\]])")
BETWEEN_SPELLINGS = re.compile(r"[/;,、\s]+")
BRACKETED = re.compile(r"(\([^()]*\)|\[[^\[\]]*\])")
NUMBERING = re.compile(r"(?<!\S)[(\[](?:\d{1,2}|[a-z])[)\]]")
ARTICLE = re.compile(r"(?:a|an|the)\s+(?=\S)")
VERB = re.compile(r"to\s+(?=\S)")
EXPLANATION = re.compile(r"(?:e\.g\.|i\.e\.|esp\.|etc\b)")
# More brackets than this in one gloss are all kept or all left out: their combinations double with each.
MOST_BRACKETS = 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """Of a word, what is graded and shown as a right answer. Also the key under which its preparation is kept."""

    hiragana: str
    katakana: str | None
    kanji: str | None
    romaji: str | None
    english: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A word prepared for grading: right texts as they are, their keys, those that may take an article, the readings' sounds."""

    texts: frozenset[str]
    keys: frozenset[str]
    nouns: frozenset[str]
    readings: tuple[Sounds, ...]


def score_of(correct: int, total: int) -> int:
    """Percent, half a point rounded up: floor(100 * correct / total + 0.5), exactly."""
    return (200 * correct + total) // (2 * total)


def right_answers(spelling: Spelling) -> list[str]:
    """What is shown as right, in the order of the word's fields, without what is absent or repeated."""
    texts = (spelling.hiragana, spelling.katakana, spelling.kanji, spelling.romaji, spelling.english)
    return list(dict.fromkeys(text for text in texts if text))


def is_right(answer: str, spelling: Spelling) -> bool:
    """Whether the answer shows that the word is known. An empty one never does.

    Right is any spelling of the word, kana of either kind, its reading in Latin letters, and any of its English glosses or several.
    Case, width, spaces, punctuation, accents and the spelling of long vowels do not matter; nor does an article, the `to` of a
    verb, or what the gloss has in brackets.
    """
    accepted = prepare(spelling)
    if answer in accepted.texts or _is_one(answer, accepted):
        return True
    if answer.isalnum():
        return False
    parts = [part for part in BETWEEN_GLOSSES.split(_wide(answer)) if part.strip()]
    return len(parts) > 1 and all(_is_one(part, accepted) for part in parts)


def _is_one(answer: str, accepted: Accepted) -> bool:
    key = key_of(answer)
    if not key:
        return False
    if key in accepted.keys:
        return True
    text = _wide(answer).strip()
    if (article := ARTICLE.match(text)) and key_of(text[article.end() :]) in accepted.nouns:
        return True
    latin = latin_of(answer)
    return latin is not None and any(spells(latin, reading) for reading in accepted.readings)


@functools.lru_cache(maxsize=20_000)
def prepare(spelling: Spelling) -> Accepted:
    """What is accepted for a word, worked out once for each content a word has."""
    keys: set[str] = set()
    nouns: set[str] = set()
    readings: list[Sounds] = []
    for text in (spelling.hiragana, spelling.katakana, spelling.kanji, spelling.romaji):
        for one in _spellings_in(text):
            keys.add(key_of(one))
            if (sounds := sounds_of(one)) is not None and sounds not in readings:
                readings.append(sounds)
    keys.add(key_of(spelling.english))
    for gloss in glosses(spelling.english):
        keys.add(key_of(gloss))
        if verb := VERB.match(gloss):
            keys.add(key_of(gloss[verb.end() :]))
        else:
            article = ARTICLE.match(gloss)
            noun = key_of(gloss[article.end() :] if article else gloss)
            keys.add(noun)
            nouns.add(noun)
    texts = frozenset(filter(None, (spelling.hiragana, spelling.katakana, spelling.kanji, spelling.english)))
    return Accepted(texts, frozenset(keys - {""}), frozenset(nouns - {""}), tuple(readings))


def _spellings_in(text: str | None) -> list[str]:
    """The text whole, and each of several spellings in it (なん/なに); what is in brackets may be left out (あたたか(い))."""
    if not text:
        return []
    wide = unicodedata.normalize("NFKC", text)
    ones = [wide, *BETWEEN_SPELLINGS.split(wide)]
    return list(dict.fromkeys(form for one in ones for form in _with_and_without_brackets(one) if form))


def glosses(english: str) -> list[str]:
    """Each gloss in small letters, with what it has in brackets and without; explanations (`e.g. rain`) are no glosses."""
    parts = (part.strip() for part in BETWEEN_GLOSSES.split(_wide(english)))
    forms = (form for part in parts for form in _with_and_without_brackets(NUMBERING.sub(" ", part)))
    return list(dict.fromkeys(form for form in forms if form and not EXPLANATION.match(form)))


def _with_and_without_brackets(text: str) -> list[str]:
    pieces = BRACKETED.split(text)  # every second one is in brackets
    count = len(pieces) // 2
    choices = (
        itertools.product((True, False), repeat=count)
        if count <= MOST_BRACKETS
        else iter([(True,) * count, (False,) * count])
    )
    forms = []
    for kept in choices:
        inner = iter(kept)
        form = "".join(
            piece if index % 2 == 0 else piece[1:-1] if next(inner) else "" for index, piece in enumerate(pieces)
        )
        forms.append(SPACES.sub(" ", form).strip())
    return forms


def _wide(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def key_of(text: str) -> str:
    """What texts that count as the same have in common: letters and digits in one case, width and kana, long vowels in one way."""
    if text.isascii():
        return SIGNS.sub("", text.lower()) or text.strip()
    bare = LATIN_MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    letters = SIGNS.sub("", to_hiragana(unicodedata.normalize("NFKC", bare).casefold()))
    return (fold_long_vowels(letters) if KANA.search(letters) else letters) or unicodedata.normalize(
        "NFKC", text
    ).strip()
