"""What counts as right, and what does not."""

from __future__ import annotations

import math
import random
import unicodedata
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotobamichi.quizzes.grading import Spelling, glosses, is_right, prepare, right_answers, score_of
from kotobamichi.words.vocabulary import read_vocabulary

MEET = Spelling("あう", None, "会う", None, "to meet")
OPEN = Spelling("あく", None, "開く", None, "to open, to become open")
COFFEE = Spelling("コーヒー", "コーヒー", None, "kōhī", "coffee")
BROTHER = Spelling("おにいさん", None, "お兄さん", None, "(honorable) older brother")
WHAT = Spelling("なん/なに", None, "何", None, "what")


@cache
def vocabulary() -> tuple[Spelling, ...]:
    return tuple(Spelling(w.hiragana, w.katakana, w.kanji, None, w.english) for w in read_vocabulary())


@pytest.mark.parametrize(
    ("spelling", "answers"),
    [
        (MEET, ["あう", "アウ", "ｱｳ", "会う", "au", "AU", "meet", "To Meet", "ｔｏ　ｍｅｅｔ", "  to   meet ", "to meet."]),
        (OPEN, ["to open", "open", "become open", "to become open", "to open, to become open", "open; become open", "aku"]),
        (COFFEE, ["coffee", "a coffee", "the coffee", "コーヒー", "こーひー", "こおひい", "koohii", "kōhī", "kohii", "ｺｰﾋｰ"]),
        (BROTHER, ["older brother", "honorable older brother", "(honorable) older brother", "an older brother", "oniisan"]),
        (WHAT, ["なん", "なに", "何", "what", "nan", "nani", "なん/なに"]),
        (Spelling("こてん", None, "古典", None, "classic(s)"), ["classic", "classics", "the classics"]),
        (Spelling("ついたち", None, None, None, "(1) one day, (2) first of month"), ["one day", "first of month"]),
        (Spelling("くるま", None, "車", None, "a car; a vehicle"), ["car", "a car", "the vehicle", "vehicle, car"]),
        (Spelling("かみ", None, "紙", None, "paper [sheet, roll]"), ["paper", "paper sheet, roll"]),
        (Spelling("ちち", None, "父", None, "dad / father"), ["dad", "father"]),
        (Spelling("きっさてん", None, "喫茶店", None, "café"), ["cafe", "café", "the CAFE", "kissaten"]),
        (Spelling("はたち", None, None, None, "twenty-years-old, o'clock"), ["twenty years old", "oclock", "o’clock"]),
        (Spelling("あたたか(い)", None, None, None, "warm"), ["あたたか", "あたたかい", "atatakai", "atataka"]),
        (Spelling("てん", None, None, None, "…"), ["…"]),
    ],
)  # fmt: skip
def test_what_shows_that_the_word_is_known_is_right(spelling: Spelling, answers: list[str]) -> None:
    assert [answer for answer in answers if not is_right(answer, spelling)] == []


@pytest.mark.parametrize(
    ("spelling", "answers"),
    [
        (MEET, ["", " ", "?", "to", "a meet", "to part", "あ", "あうう", "会", "meets", "to meet a"]),
        (OPEN, ["to close", "open, close", "to become", "開", "aki"]),
        (COFFEE, ["tea", "to coffee", "coffees", "ko", "コーヒ"]),
        (BROTHER, ["younger brother", "brother", "onisan", "honorable"]),
        (Spelling("ふる", None, "降る", None, "to fall, e.g. rain"), ["e.g. rain", "rain"]),
        (Spelling("いち", None, "一", None, "(1) one"), ["1", "(1)"]),
    ],
)  # fmt: skip
def test_what_means_or_sounds_otherwise_is_wrong(spelling: Spelling, answers: list[str]) -> None:
    assert [answer for answer in answers if is_right(answer, spelling)] == []


def test_right_answers_are_shown_in_the_order_of_the_fields_without_gaps_or_repeats() -> None:
    assert right_answers(MEET) == ["あう", "会う", "to meet"]
    assert right_answers(COFFEE) == ["コーヒー", "kōhī", "coffee"]


def test_commas_in_brackets_divide_no_glosses() -> None:
    assert glosses("sister (older, younger), nun") == ["sister older, younger", "sister", "nun"]


def test_many_brackets_do_not_multiply_without_end() -> None:
    assert len(prepare(Spelling("あ", None, None, None, "(a)x " * 40)).keys) < 20


def test_each_of_its_own_spellings_and_glosses_is_right_for_every_word() -> None:
    wrong = [
        (spelling, answer)
        for spelling in vocabulary()
        for answer in (*right_answers(spelling), *glosses(spelling.english))
        if not is_right(answer, spelling)
    ]
    assert wrong == []


def test_words_without_anything_in_common_are_wrong_for_each_other() -> None:
    """Two words of the vocabulary that share no right text are not taken for each other, whichever of its texts is answered."""
    chance = random.Random(20261125)
    for _ in range(4000):
        asked, other = chance.sample(vocabulary(), 2)
        if prepare(asked).keys & prepare(other).keys:
            continue
        for answer in right_answers(other):
            assert not is_right(answer, asked), (answer, asked)


@st.composite
def spelling_variants(draw: st.DrawFn) -> tuple[Spelling, str]:
    """A word of the vocabulary and a right answer to it, written otherwise by some of the rules."""
    spelling = draw(st.sampled_from(vocabulary()))
    answer = draw(st.sampled_from([*right_answers(spelling), *glosses(spelling.english)]))
    if draw(st.booleans()):
        answer = answer.upper()
    if draw(st.booleans()):  # full width
        answer = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in answer)
    if draw(st.booleans()):  # katakana
        answer = "".join(chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in answer)
    if draw(st.booleans()):
        answer = unicodedata.normalize("NFD", answer)
    if draw(st.booleans()):
        answer = draw(st.sampled_from([" ", "\u3000", "\t "])) + answer + draw(st.sampled_from([" ", "!", "。", "\n"]))
    return spelling, answer


@given(spelling_variants())
def test_any_variant_by_the_rules_is_right(pair: tuple[Spelling, str]) -> None:
    spelling, answer = pair
    assert is_right(answer, spelling), (answer, spelling)


@given(st.text(max_size=40), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=40))
def test_nothing_answered_breaks_it(answer: str, hiragana: str, english: str) -> None:
    assert is_right(answer, Spelling(hiragana, None, None, None, english)) in {True, False}


@given(st.integers(1, 1000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_a_score_is_rounded_as_javascript_does(pair: tuple[int, int]) -> None:
    correct, total = pair
    assert score_of(correct, total) == math.floor(100 * correct / total + 0.5)


@pytest.mark.parametrize(
    ("correct", "total", "score"), [(2, 3, 67), (1, 3, 33), (1, 8, 13), (1, 200, 1), (0, 5, 0), (5, 5, 100)]
)
def test_half_a_point_rounds_up(correct: int, total: int, score: int) -> None:
    assert score_of(correct, total) == score
