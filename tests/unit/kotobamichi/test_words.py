"""The pure rules of words: when two are the same, and how the vocabulary's entries become words."""

from __future__ import annotations

import pytest

from kotobamichi.words.content import content_hash, normalise
from kotobamichi.words.vocabulary import read_vocabulary, to_word


@pytest.mark.parametrize(
    ("hiragana", "kanji", "english", "expected"),
    [
        ("あう", "会う", "to meet", "ab98a65d6f273c653a1805c027e233730816953c3966ace741eb1627c4f36939"),
        ("あお", None, "blue", "141a5b2408961bceb258393f63765eb859f5723f140c927df2ae9fbdabb8f212"),
        ("あお", "青", "blue", "45a0920ea80b616718b816bb7a40833f32bc377d334a3c976e29f3c1a7a32317"),
    ],
)
def test_the_content_hash_is_the_one_existing_databases_hold(
    hiragana: str, kanji: str | None, english: str, expected: str
) -> None:
    assert content_hash(hiragana, kanji, english) == expected


def test_width_case_and_surrounding_space_make_no_other_word() -> None:
    assert content_hash(" あう\u3000", "会う", "\ufeffTo Meet\n") == content_hash("あう", "会う", "to meet")
    assert content_hash("ｱｵ", None, "ｂｌｕｅ") == content_hash("アオ", None, "blue")


def test_an_absent_and_an_empty_kanji_are_the_same() -> None:
    assert content_hash("あお", "", "blue") == content_hash("あお", None, "blue")


@pytest.mark.parametrize("space", ["\t", "\v", "\u00a0", "\u2003", "\u2028", "\u3000", "\ufeff"])
def test_what_javascript_trims_is_trimmed(space: str) -> None:
    assert normalise(f"{space}a{space}") == "a"


@pytest.mark.parametrize("sign", ["\x1c", "\x1f", "\x85", "\u200b"])
def test_what_only_python_would_strip_stays(sign: str) -> None:
    assert normalise(f"a{sign}") == f"a{sign}"


def test_the_vocabulary_has_8334_words_of_different_content() -> None:
    words = list(read_vocabulary())
    assert len(words) == 8334
    assert len({content_hash(word.hiragana, word.kanji, word.english) for word in words}) == 8334
    assert all(word.hiragana and word.english for word in words)


@pytest.mark.parametrize(
    ("word", "reading", "hiragana", "katakana", "kanji"),
    [
        ("会う", "あう", "あう", None, "会う"),
        ("あさって", "", "あさって", None, None),
        ("アパート", "", "アパート", "アパート", None),
        ("しまった", "（感）", "しまった", None, "しまった"),
        ("とん", "（1000", "とん", None, "とん"),
        ("暖かい", "あたたか(い)", "あたたかい", None, "暖かい"),
        ("あげる (=やる)", "", "あげる", None, None),
        ("賛成", "Uӣ[い", "さんせい", None, "賛成/贊成"),
        ("四", "し / よん", "し / よん", None, "四"),
    ],
)
def test_an_entry_becomes_a_word(
    word: str, reading: str, hiragana: str, katakana: str | None, kanji: str | None
) -> None:
    made = to_word(word, reading, ["first", " second "], "N5", [])
    assert (made.hiragana, made.katakana, made.kanji) == (hiragana, katakana, kanji)
    assert made.english == "first, second"
