"""Readings in Latin letters: every spelling of every system is read, and other words are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotobamichi.quizzes.kana import LONG, SPELLINGS, Sounds, fold_long_vowels, latin_of, sounds_of, spells, to_hiragana

KANA = sorted(SPELLINGS)


def is_read(typed: str, reading: str) -> bool:
    latin, sounds = latin_of(typed), sounds_of(reading)
    return latin is not None and sounds is not None and spells(latin, sounds)


@pytest.mark.parametrize(
    ("reading", "spellings"),
    [
        ("しち", ["shichi", "siti", "SHICHI", "shi chi", "ｓｈｉｃｈｉ"]),
        ("つづく", ["tsuzuku", "tsuduku", "tuzuku", "tuduku", "tsudzuku"]),
        ("ふじさん", ["fujisan", "huzisan", "fuji-san", "Fuji San"]),
        ("はなぢ", ["hanaji", "hanadi", "hanazi"]),
        ("きょう", ["kyou", "kyoo", "kyō", "kyô", "kyo", "kyo-"]),
        ("しゃしん", ["shashin", "syasin", "shashinn", "shashin'"]),
        ("ちゃわん", ["chawan", "tyawan"]),
        ("じゅぎょう", ["jugyou", "zyugyou", "jyugyō", "jugyo"]),
        ("とうきょう", ["toukyou", "tookyoo", "tōkyō", "tokyo", "toukyo", "tokyou", "to-kyo-"]),
        ("おおきい", ["ookii", "ōkii", "ookī", "okii", "oukii"]),
        ("くうき", ["kuuki", "kūki", "kuki"]),
        ("おにいさん", ["oniisan", "onīsan", "oni-san"]),
        ("おかあさん", ["okaasan", "okāsan"]),
        ("せんせい", ["sensei", "sensee", "sensē"]),
        ("おねえさん", ["oneesan", "onēsan", "oneisan"]),
        ("コーヒー", ["koohii", "kōhī", "ko-hi-", "kouhii"]),
        ("パーティー", ["paatii", "pātī", "pa-thi-", "paatexii"]),
        ("ファイル", ["fairu", "FAIRU"]),
        ("きって", ["kitte", "kixtute", "kiltsute"]),
        ("まっちゃ", ["matcha", "maccha", "mattya"]),
        ("ざっし", ["zasshi", "zassi"]),
        ("あっ", ["a", "at", "axtu", "a'"]),
        ("しんぶん", ["shinbun", "shimbun", "sinbun", "shinnbunn"]),
        ("れんあい", ["ren'ai", "rennai", "ren’ai"]),
        ("きんようび", ["kinyoubi", "kin'youbi", "kinnyoubi"]),
        ("おんな", ["onna", "on'na", "onnna"]),
        ("こんにちは", ["konnichiwa", "konnichiha", "konnitiwa", "kon'nichiwa"]),
        ("はは", ["haha"]),
        ("ほんを", ["hono", "honwo", "hon'o"]),
        ("おはようございます", ["ohayou gozaimasu", "ohayō gozaimasu", "ohayo gozaimasu", "o-hayou-gozaimasu"]),
        ("〜ほど", ["hodo"]),
        ("スリッパ", ["surippa"]),
        ("ヴァイオリン", ["vaiorin"]),
    ],
)  # fmt: skip
def test_every_spelling_of_a_reading_is_read(reading: str, spellings: list[str]) -> None:
    assert [spelling for spelling in spellings if not is_read(spelling, reading)] == []


@pytest.mark.parametrize(
    ("reading", "typed"),
    [
        ("おばあさん", "obasan"), ("おばさん", "obaasan"), ("おじいさん", "ojisan"), ("ビール", "biru"), ("ビル", "biiru"),
        ("きって", "kite"), ("きて", "kitte"), ("たんい", "tani"), ("たに", "tanni"), ("ここ", "koukou"), ("ゆき", "yuuki"),
        ("はは", "hawa"), ("は", "wa"), ("しんよう", "shiyou"), ("か", ""), ("か", "k"), ("か", "kaa"), ("か", "ka1"), ("か", "か"),
    ],
)  # fmt: skip
def test_another_word_is_not_read(reading: str, typed: str) -> None:
    assert not is_read(typed, reading)


@pytest.mark.parametrize("text", ["会う", "abc", "あ1", "", " ", "あ漢"])
def test_what_is_not_kana_has_no_sounds(text: str) -> None:
    assert sounds_of(text) is None


def test_long_vowels_have_one_spelling() -> None:
    assert len({fold_long_vowels(to_hiragana(text)) for text in ("コーヒー", "こーひー", "こおひい", "こうひい")}) == 1
    assert fold_long_vowels("とうきょう") == fold_long_vowels("とおきょお")
    assert fold_long_vowels("おばさん") != fold_long_vowels("おばあさん")
    assert fold_long_vowels("ーあ") == "ーあ"


@st.composite
def readings_and_spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A reading of any kana, and one of the spellings of each of its sounds."""
    first = draw(st.sampled_from([*KANA, "ん", "っ"]))  # ー lengthens what is before it
    reading = first + "".join(draw(st.lists(st.sampled_from([*KANA, "ん", "っ", "ー"]), max_size=7)))
    sounds: Sounds | None = sounds_of(reading)
    assert sounds is not None
    return reading, "".join(draw(st.sampled_from(sound)) for sound in sounds).replace(LONG, "\u0304")


@given(readings_and_spellings())
def test_any_choice_of_spellings_is_read(pair: tuple[str, str]) -> None:
    reading, typed = pair
    if latin_of(typed) is not None:
        assert is_read(typed, reading)
        assert is_read(typed.upper(), reading)


@given(
    st.text(max_size=30), st.text(alphabet="".join({sign for kana in KANA for sign in kana}) + "んっー", max_size=12)
)
def test_nothing_typed_breaks_it(typed: str, reading: str) -> None:
    assert is_read(typed, reading) in {True, False}
