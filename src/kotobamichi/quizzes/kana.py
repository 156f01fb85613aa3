"""Kana and the ways to write them in Latin letters. Pure: what counts as an answer is decided in grading.py.

A reading is turned into its sounds, each with every spelling that Hepburn, Kunrei-shiki (ISO 3602), Nihon-shiki or an input method
gives it; what was typed is right if it can be read as these sounds in order. So no spelling has to be guessed back into kana, which
has no one answer: `ti` is チ in one system and ティ in another.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# A sound is the tuple of its spellings; a reading is the tuple of its sounds.
Sounds = tuple[tuple[str, ...], ...]

# What a macron, a circumflex or a typed hyphen becomes; no other sign is used for it.
LONG = ":"
TO_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
LATIN_MARKS = re.compile("[\u0300-\u036f]")
LENGTH_MARKS = re.compile("[\u0302\u0304]")
APOSTROPHES = re.compile("[\u2018\u2019\u02bc\u0060\u00b4\u2032]")
NOT_LATIN = re.compile(r"[^a-z':-]")
SOKUON = ("xtu", "ltu", "xtsu", "ltsu")
VOWELS = "aiueo"

PLAIN = {
    "a": "あ", "i": "い", "u": "う", "e": "え", "o": "お", "ka": "か", "ki": "き", "ku": "く", "ke": "け", "ko": "こ",
    "ga": "が", "gi": "ぎ", "gu": "ぐ", "ge": "げ", "go": "ご", "sa": "さ", "shi si": "し", "su": "す", "se": "せ", "so": "そ",
    "za": "ざ", "ji zi": "じ", "zu": "ず", "ze": "ぜ", "zo": "ぞ", "ta": "た", "chi ti": "ち", "tsu tu": "つ", "te": "て",
    "to": "と", "da": "だ", "ji di zi": "ぢ", "zu du dzu": "づ", "de": "で", "do": "ど", "na": "な", "ni": "に", "nu": "ぬ",
    "ne": "ね", "no": "の", "ha": "は", "hi": "ひ", "fu hu": "ふ", "he": "へ", "ho": "ほ", "ba": "ば", "bi": "び", "bu": "ぶ",
    "be": "べ", "bo": "ぼ", "pa": "ぱ", "pi": "ぴ", "pu": "ぷ", "pe": "ぺ", "po": "ぽ", "ma": "ま", "mi": "み", "mu": "む",
    "me": "め", "mo": "も", "ya": "や", "yu": "ゆ", "yo": "よ", "ra": "ら", "ri": "り", "ru": "る", "re": "れ", "ro": "ろ",
    "wa": "わ", "i wi": "ゐ", "e we": "ゑ", "o wo": "を", "vu": "ゔ",
    "a xa la": "ぁ", "i xi li": "ぃ", "u xu lu": "ぅ", "e xe le": "ぇ", "o xo lo": "ぉ", "ya xya lya": "ゃ", "yu xyu lyu": "ゅ",
    "yo xyo lyo": "ょ", "wa xwa lwa": "ゎ", "ka xka lka ga": "ゕ", "ke xke lke ka ga": "ゖ",
}  # fmt: skip
# Consonants before ゃゅょ (and ぇ, of loanwords).
GLIDES = {
    "き": "ky", "ぎ": "gy", "し": "sh sy", "じ": "j zy jy", "ち": "ch ty cy", "ぢ": "j dy zy", "に": "ny", "ひ": "hy", "び": "by",
    "ぴ": "py", "み": "my", "り": "ry", "ゔ": "vy",
}  # fmt: skip
# Sounds of loanwords.
LOANS = {
    "ふぁ": "fa", "ふぃ": "fi", "ふぇ": "fe", "ふぉ": "fo", "ふゅ": "fyu", "てぃ": "ti thi texi", "でぃ": "di dhi dexi",
    "てゅ": "tyu thu", "でゅ": "dyu dhu", "とぅ": "tu twu toxu", "どぅ": "du dwu doxu", "うぃ": "wi", "うぇ": "we", "うぉ": "wo",
    "いぇ": "ye", "ゔぁ": "va", "ゔぃ": "vi", "ゔぇ": "ve", "ゔぉ": "vo", "つぁ": "tsa", "つぃ": "tsi",
    "つぇ": "tse", "つぉ": "tso",
    "くぁ": "kwa qa", "くぃ": "kwi qi", "くぇ": "kwe qe", "くぉ": "kwo qo", "ぐぁ": "gwa", "くゎ": "kwa", "ぐゎ": "gwa",
    "すぃ": "si swi", "ずぃ": "zi",
}  # fmt: skip
LONGEST_DROPPED = frozenset("ou")


def _spellings() -> dict[str, tuple[str, ...]]:
    table = {kana: tuple(latin.split()) for latin, kana in PLAIN.items()}
    for first, consonants in GLIDES.items():
        for small, vowel in (("ゃ", "a"), ("ゅ", "u"), ("ょ", "o"), ("ぇ", "e")):
            table[first + small] = tuple(consonant + vowel for consonant in consonants.split())
    return table | {kana: tuple(latin.split()) for kana, latin in LOANS.items()}


SPELLINGS = _spellings()
VOWEL_OF = {kana: SPELLINGS[kana][0][-1] for kana in SPELLINGS if len(kana) == 1}
# Which kana lengthen a sound that ends in the vowel, and how the long vowel may be typed beside the mark. Long o and u may also be
# typed short, as in passports (Tokyo); other vowels may not, for there the short one is another word (obasan, obaasan).
LENGTHENERS = {"a": "あ", "i": "い", "u": "う", "e": "えい", "o": "おう"}
LENGTHENED = {"a": "a", "i": "i", "u": "u", "e": "ei", "o": "ou"}
LONG_KANA = {"a": "あ", "i": "い", "u": "う", "e": "え", "o": "お"}


def to_hiragana(text: str) -> str:
    return text.translate(TO_HIRAGANA)


def fold_long_vowels(hiragana: str) -> str:
    """One spelling for each long vowel: こーひー and こおひい, とうきょう and とおきょお become the same."""
    folded = []
    vowel = None
    for kana in hiragana:
        if vowel is not None and (kana == "ー" or kana in LENGTHENERS[vowel]):
            folded.append(LONG_KANA[vowel])
        else:
            folded.append(kana)
            vowel = VOWEL_OF.get(kana)
    return "".join(folded)


@functools.lru_cache(maxsize=20_000)
def sounds_of(reading: str) -> Sounds | None:
    """The sounds of a reading in kana; None where something in it is not kana."""
    kana = to_hiragana(unicodedata.normalize("NFKC", reading))
    kana = "".join(sign for sign in kana if sign not in " 〜~・.-")
    sounds: list[tuple[str, ...]] = []
    at, vowel, doubled = 0, None, False
    while at < len(kana):
        sign = kana[at : at + 2] if kana[at : at + 2] in SPELLINGS else kana[at]
        at += len(sign)
        if sign == "っ":
            doubled = True
            continue
        if vowel is not None and (sign == "ー" or sign in LENGTHENERS[vowel]):
            sound = _long(vowel, sign)
        elif sign == "ん":
            sound, vowel = _syllabic_n(kana[at : at + 1]), None
        elif sign in SPELLINGS:
            sound = SPELLINGS[sign]
            vowel = sound[0][-1]
            if sign == "は" and at == len(kana) >= 3:
                sound = ("wa", *sound)  # the particle at the end of こんにちは; はは and は keep their h
        else:
            return None
        sounds.append(_doubled(sound) if doubled else sound)
        doubled = False
    if doubled:
        sounds.append(("", "'", "t", *SOKUON))
    return tuple(sounds) or None


def _long(vowel: str, sign: str) -> tuple[str, ...]:
    short = ("",) if vowel in LONGEST_DROPPED else ()
    written = () if sign == "ー" else SPELLINGS[sign]
    return tuple(dict.fromkeys((*written, *LENGTHENED[vowel], LONG, *short)))


def _syllabic_n(following: str) -> tuple[str, ...]:
    """ん: a plain n is enough where no other kana could be meant, so before a vowel it needs its apostrophe (ren'ai)."""
    spellings = ("n'", "nn", "xn")
    if following not in {"", "を"} and VOWEL_OF.get(following) and SPELLINGS[following][0][0] in VOWELS:
        return spellings
    if following and SPELLINGS.get(following, ("",))[0][:1] in {"b", "m", "p"}:
        return (*spellings, "n", "m")
    return (*spellings, "n")


def _doubled(sound: tuple[str, ...]) -> tuple[str, ...]:
    """The sound after っ: its consonant twice (kitte; matcha is also maccha)."""
    spellings = [small + spelling for spelling in sound for small in SOKUON]
    for spelling in sound:
        if not spelling or spelling[0] in VOWELS or spelling[0] == LONG:
            spellings += [mark + spelling for mark in ("", "'", "t")]
        else:
            spellings.append(spelling[0] + spelling)
            if spelling.startswith("ch"):
                spellings.append("t" + spelling)
    return tuple(spellings)


def latin_of(typed: str) -> str | None:
    """What was typed, ready for `spells`: small letters, the length marks as one sign, no spaces. None where it is not Latin."""
    text = unicodedata.normalize("NFKD", typed).casefold()
    text = LATIN_MARKS.sub("", LENGTH_MARKS.sub(LONG, APOSTROPHES.sub("'", text)))
    text = "".join(text.split())
    return None if not text or NOT_LATIN.search(text) else text


def spells(latin: str, sounds: Sounds) -> bool:
    """Whether the letters of `latin_of` can be read as the sounds, in order and to the end.

    A hyphen is a length mark (ko-hi-) or joins parts (o-cha); it is tried as each.
    """
    if "-" in latin:
        return spells(latin.replace("-", LONG), sounds) or spells(latin.replace("-", ""), sounds)
    ends = {0}
    for sound in sounds:
        ends = {end + len(spelling) for end in ends for spelling in sound if latin.startswith(spelling, end)}
        if not ends:
            return False
    return len(latin) in ends
