"""When two words are the same: the content hash. The rule is JavaScript's, because existing databases hold its hashes."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# What String.prototype.trim removes (ECMAScript WhiteSpace and LineTerminator), which is not what str.strip removes.
JAVASCRIPT_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
EDGES = re.compile(f"^[{JAVASCRIPT_SPACE}]+|[{JAVASCRIPT_SPACE}]+$")


def normalise(text: str) -> str:
    """Trimmed, NFKC, lower case."""
    return unicodedata.normalize("NFKC", EDGES.sub("", text)).lower()


def content_hash(hiragana: str, kanji: str | None, english: str) -> str:
    """SHA-256, hex, of the three joined by `|`, each normalised; an absent kanji is empty."""
    return hashlib.sha256(
        "|".join((normalise(hiragana), normalise(kanji or ""), normalise(english))).encode()
    ).hexdigest()
