"""Section 1 of the contract, "Words". What these cases add they take away again: other tests count the vocabulary."""

from __future__ import annotations

from typing import Any

from tests.api.golden import (
    FORBIDDEN,
    INSTANT,
    NUMBER,
    TEXT,
    UNAUTHENTICATED,
    UUID,
    Case,
    bad_request,
    refusal,
)

FORM = {"Content-Type": "multipart/form-data; boundary=cut"}


def form(csv: str, field: str = "file") -> bytes:
    """A multipart body with one field."""
    head = f'--cut\r\nContent-Disposition: form-data; name="{field}"; filename="words.csv"\r\nContent-Type: text/csv\r\n\r\n'
    return f"{head}{csv}\r\n--cut--\r\n".encode()


def item(**known: Any) -> dict[str, Any]:
    """A word in a list, empty but for what is known."""
    word = {
        "id": UUID, "hiragana": TEXT, "katakana": None, "kanji": None, "romaji": None, "english": TEXT, "meaning": TEXT,
        "pronunciationUrl": None, "pronunciation": None, "level": None, "topic": None, "partOfSpeech": None,
        "createdAt": INSTANT,
    }  # fmt: skip
    return word | known


def word(**known: Any) -> dict[str, Any]:
    """A whole word, empty but for what is known."""
    return item(**({"updatedAt": INSTANT, "contentHash": TEXT, "examples": []} | known))


def report(total: int, imported: int, duplicates: int, errors: int, *details: str) -> dict[str, Any]:
    return {
        "total": total, "imported": imported, "duplicates": duplicates, "errors": errors, "errorDetails": list(details),
    }  # fmt: skip


SOUND = "https://sounds.example.org/goldenu.mp3"
WHOLE = {
    "hiragana": "ごうるでぬ", "katakana": "ゴウルデヌ", "kanji": "金打ぬ", "romaji": "goorudenu", "english": "to test in gold",
    "pronunciationUrl": SOUND, "level": "N1", "topic": "Testing", "partOfSpeech": "verb",
}  # fmt: skip
STORED = word(**WHOLE, meaning="to test in gold", pronunciation=SOUND)
IS_THERE = refusal(409, "Conflict", "A word with similar content already exists")
NO_FILE = "No file was uploaded: send a CSV as the field `file` of a multipart form"

CASES = [
    Case(
        "the first page", "nobody", "GET", "/v1/words?limit=1", None, 200,
        {
            "words": [item(level="N5")],
            "pagination": {"page": 1, "limit": 1, "total": 8334, "totalPages": 8334},
        },
        keep={"first": "words.0.id"},
    ),
    Case(
        "junk limits", "nobody", "GET", "/v1/words?page=0&limit=abc", None, 400,
        bad_request("page must not be less than 1", "limit must be an integer number"),
    ),
    Case("no id", "nobody", "GET", "/v1/words/nope", None, 404, refusal(404, "Not Found", "Word with ID nope not found")),
    # Who may do what.
    Case("add as nobody", "nobody", "POST", "/v1/words", {}, 401, UNAUTHENTICATED),
    Case("add as a learner", "learner", "POST", "/v1/words", {}, 403, FORBIDDEN),
    Case("change as nobody", "nobody", "PATCH", "/v1/words/{first}", {}, 401, UNAUTHENTICATED),
    Case("change as a learner", "learner", "PATCH", "/v1/words/{first}", {}, 403, FORBIDDEN),
    Case("delete as nobody", "nobody", "DELETE", "/v1/words/{first}", None, 401, UNAUTHENTICATED),
    Case("delete as a learner", "learner", "DELETE", "/v1/words/{first}", None, 403, FORBIDDEN),
    Case("upload as nobody", "nobody", "POST", "/v1/words/import/upload", None, 401, UNAUTHENTICATED),
    Case("upload as a learner", "learner", "POST", "/v1/words/import/upload", None, 403, FORBIDDEN),
    Case("import as nobody", "nobody", "POST", "/v1/words/import/csv", {}, 401, UNAUTHENTICATED),
    Case("import as a learner", "learner", "POST", "/v1/words/import/csv", {}, 403, FORBIDDEN),
    Case("count as nobody", "nobody", "GET", "/v1/words/import/stats", None, 401, UNAUTHENTICATED),
    Case("count as a learner", "learner", "GET", "/v1/words/import/stats", None, 403, FORBIDDEN),
    Case("clear as nobody", "nobody", "DELETE", "/v1/words/import/clear-all", None, 401, UNAUTHENTICATED),
    Case("clear as a learner", "learner", "DELETE", "/v1/words/import/clear-all", None, 403, FORBIDDEN),
    # What is refused.
    Case(
        "add nothing", "admin", "POST", "/v1/words", {}, 400,
        bad_request(
            "hiragana should not be empty", "hiragana must be a string", "english should not be empty",
            "english must be a string",
        ),
    ),
    Case(
        "add with every field wrong", "admin", "POST", "/v1/words",
        {
            "hiragana": "  ", "english": None, "kanji": 1, "katakana": "\0", "romaji": "r" * 10_001,
            "pronunciationUrl": "ftp://x", "level": "N6", "topic": "t" * 201, "partOfSpeech": [], "colour": "red",
        },
        400,
        bad_request(
            "property colour should not exist", "hiragana should not be empty", "english should not be empty",
            "english must be a string", "kanji must be a string", "katakana must not contain a NUL character",
            "romaji must be shorter than or equal to 10000 characters",
            "pronunciationUrl must be a valid URL with protocol", "level must be one of N5,N4,N3,N2,N1",
            "topic must be shorter than or equal to 200 characters", "partOfSpeech must be a string",
        ),
    ),
    Case(
        "add with two values for one pair", "admin", "POST", "/v1/words",
        {"hiragana": "あ", "english": "a", "meaning": "b", "pronunciationUrl": SOUND, "pronunciation": None}, 400,
        bad_request(
            "english and meaning must be the same, or only one of them given",
            "pronunciationUrl and pronunciation must be the same, or only one of them given",
        ),
    ),
    Case(
        "add no JSON", "admin", "POST", "/v1/words", b"{", 400,
        refusal(400, "Bad Request", "The request body is not valid JSON"),
    ),
    # A word's life.
    Case("add", "admin", "POST", "/v1/words", WHOLE, 201, STORED, keep={"word": "id", "hash": "contentHash"}),
    Case("show", "nobody", "GET", "/v1/words/{word}", None, 200, STORED),
    Case("add the same in other case and width", "admin", "POST", "/v1/words",
         {"hiragana": " ごうるでぬ", "kanji": "金打ぬ", "meaning": "ＴＯ test in gold"}, 409, IS_THERE),
    Case(
        "find by topic", "nobody", "GET", "/v1/words?topic=Testing&limit=3", None, 200,
        {
            "words": [item(**WHOLE, meaning="to test in gold", pronunciation=SOUND)],
            "pagination": {"page": 1, "limit": 3, "total": 1, "totalPages": 1},
        },
    ),
    Case("send back what was shown", "admin", "PATCH", "/v1/words/{word}",
         {"id": "x", "createdAt": 1, "updatedAt": None, "contentHash": "", "examples": [], "romaji": "", "level": None,
          "topic": " ", "english": " to test in gold ", "meaning": "to test in gold"}, 200,
         STORED | {"romaji": None, "level": None, "topic": None, "contentHash": "{hash}"}),
    Case("change the content", "admin", "PATCH", "/v1/words/{word}",
         {"hiragana": "あお", "kanji": "青青", "meaning": "Blue gold", "pronunciation": None}, 200,
         STORED | {"hiragana": "あお", "kanji": "青青", "english": "Blue gold", "meaning": "Blue gold", "pronunciationUrl": None,
                   "pronunciation": None, "romaji": None, "level": None, "topic": None,
                   "contentHash": "b7ef7faa992248b7182ff8f2ef944c45dd9116002099623e12beca2a85959f9d"}),
    Case("empty what is needed", "admin", "PATCH", "/v1/words/{word}", {"hiragana": None, "english": ""}, 400,
         bad_request("hiragana should not be empty", "hiragana must be a string", "english should not be empty")),
    Case("change what is not there", "admin", "PATCH", "/v1/words/{admin_id}", {"romaji": "x"}, 404,
         refusal(404, "Not Found", "Word with ID {admin_id} not found")),
    Case("change no id", "admin", "PATCH", "/v1/words/nope", {}, 404,
         refusal(404, "Not Found", "Word with ID nope not found")),
    Case("delete", "admin", "DELETE", "/v1/words/{word}", None, 200,
         word(hiragana="あお", katakana="ゴウルデヌ", kanji="青青", english="Blue gold", meaning="Blue gold", partOfSpeech="verb",
              message="Word deleted successfully")),
    Case("delete again", "admin", "DELETE", "/v1/words/{word}", None, 404,
         refusal(404, "Not Found", "Word with ID {word} not found")),
    Case("show what is deleted", "nobody", "GET", "/v1/words/{word}", None, 404,
         refusal(404, "Not Found", "Word with ID {word} not found")),
    # Files.
    Case(
        "upload", "admin", "POST", "/v1/words/import/upload",
        form(
            "Hiragana,English,LEVEL,pronunciation_url\n"
            "ごうるでなあ,to be golden,n1,\n"
            ",no reading,,\n"
            "ごうるでなあ,TO BE GOLDEN,,\n"
            "あ,,N9,x\n"
        ),
        201,
        report(
            4, 1, 1, 2, "Row 3: Hiragana is required", "Row 5: English meaning is required",
            "Row 5: Level must be one of N5,N4,N3,N2,N1", "Row 5: PronunciationURL must be a valid URL with protocol",
        ),
        headers=FORM,
    ),
    Case(
        "find what was uploaded", "nobody", "GET", "/v1/words?search=to be golden", None, 200,
        {
            "words": [item(hiragana="ごうるでなあ", english="to be golden", meaning="to be golden", level="N1")],
            "pagination": {"page": 1, "limit": 10, "total": 1, "totalPages": 1},
        },
        keep={"uploaded": "words.0.id"},
    ),
    Case("delete what was uploaded", "admin", "DELETE", "/v1/words/{uploaded}", None, 200,
         word(hiragana="ごうるでなあ", english="to be golden", meaning="to be golden", level="N1",
              message="Word deleted successfully")),
    Case("upload nothing", "admin", "POST", "/v1/words/import/upload", None, 400, refusal(400, "Bad Request", NO_FILE)),
    Case("upload JSON", "admin", "POST", "/v1/words/import/upload", {"file": "x"}, 400,
         refusal(400, "Bad Request", NO_FILE)),
    Case("upload another field", "admin", "POST", "/v1/words/import/upload", form("x", "other"), 400,
         refusal(400, "Bad Request", NO_FILE), headers=FORM),
    Case("upload a broken form", "admin", "POST", "/v1/words/import/upload", b"--cut\r\nx", 400,
         refusal(400, "Bad Request", "The multipart form is incomplete or broken"), headers=FORM),
    Case("upload what has no header", "admin", "POST", "/v1/words/import/upload", form("あう,to meet\n"), 400,
         refusal(400, "Bad Request", "The header has no Hiragana and no English. It must be the first row, with commas"
                 " between the names."), headers=FORM),
    Case("import without a path", "admin", "POST", "/v1/words/import/csv", {}, 400,
         bad_request("filePath should not be empty", "filePath must be a string")),
    Case("import what is not there", "admin", "POST", "/v1/words/import/csv", {"filePath": "nope.csv"}, 400,
         refusal(400, "Bad Request", "filePath names no file in the import folder")),
    Case("import from elsewhere", "admin", "POST", "/v1/words/import/csv", {"filePath": "../../etc/passwd"}, 400,
         refusal(400, "Bad Request", "filePath must lie inside the import folder")),
    Case("count", "admin", "GET", "/v1/words/import/stats", None, 200,
         {"totalWords": 8334, "recentImports": NUMBER, "lastImportTime": INSTANT}),
]  # fmt: skip
