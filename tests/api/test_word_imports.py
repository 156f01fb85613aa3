"""Importing over HTTP: uploads that are large, slow or broken, files of the import folder, clearing."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from kotobamichi.words.uploads import MOST_FILE_BYTES
from tests.conftest import url_of_database
from tests.support.accounts import SECRET, SignedIn, administrator
from tests.support.app import App, deploy_app_schema, started

CSV = "Hiragana,English\n"
UPLOAD = "/v1/words/import/upload"
HEAD = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="w.csv"\r\n\r\n'
TAIL = b"\r\n--cut--\r\n"
ANSWER_SECONDS = 60.0


@pytest.fixture(scope="module")
def import_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


@pytest.fixture(scope="module")
def own_app(server_url: str, import_folder: Path) -> Iterator[App]:
    """An app with no words, which may be cleared."""
    name = f"imports_{uuid.uuid4().hex[:12]}"
    url = url_of_database(server_url, name)
    deploy_app_schema(url)
    settings = {"JWT_SECRET": SECRET, "RATE_LIMIT": "off", "IMPORT_FOLDER": str(import_folder)}
    with started("serve", DATABASE_URL=url, **settings) as running:
        yield running.wait_until_ready()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@pytest.fixture(scope="module")
def admin(own_app: App) -> Iterator[SignedIn]:
    with administrator(own_app) as client:
        client.timeout = ANSWER_SECONDS
        yield client


def upload(client: httpx.Client, csv: str | bytes) -> httpx.Response:
    return client.post(UPLOAD, files={"file": ("words.csv", csv, "text/csv")})


def counts(answer: httpx.Response) -> tuple[int, int, int, int]:
    assert answer.status_code == 201, answer.text
    report = answer.json()
    return report["total"], report["imported"], report["duplicates"], report["errors"]


class Wire:
    """A connection that sends what it is told, when it is told."""

    def __init__(self, app: App, client: SignedIn, *headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", app.port), timeout=ANSWER_SECONDS)
        lines = (
            f"POST {UPLOAD} HTTP/1.1", "Host: localhost", f"Authorization: {client.headers['authorization']}",
            "Content-Type: multipart/form-data; boundary=cut", *headers, "", "",
        )  # fmt: skip
        self.socket.sendall("\r\n".join(lines).encode())

    def answer(self) -> str:
        """The status line and whatever came with it; nothing more is said after that."""
        with self.socket:
            return self.socket.recv(65536).decode()


def test_a_slow_upload_stops_nobody(own_app: App, admin: SignedIn) -> None:
    body = HEAD + f"{CSV}おそい,slow upload\n".encode() + TAIL
    wires = [Wire(own_app, admin, f"Content-Length: {len(body)}") for _ in range(12)]
    for wire in wires:
        wire.socket.sendall(body[: len(body) // 2])
    for _ in range(5):
        assert admin.get("/v1/words").status_code == 200
    assert counts(upload(admin, f"{CSV}はやい,quick upload\n")) == (1, 1, 0, 0)
    with psycopg.connect(own_app.settings["DATABASE_URL"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND (state = 'idle in transaction' OR application_name = 'kotobamichi/command')"
        ).fetchone()
        assert row == (0,)
    for wire in wires:
        wire.socket.sendall(body[len(body) // 2 :])
    answers = [wire.answer() for wire in wires]
    assert all(answer.startswith("HTTP/1.1 201") for answer in answers)
    imported = [int(match[1]) for answer in answers if (match := re.search(r'"imported":(\d+)', answer))]
    assert (len(imported), sum(imported)) == (12, 1)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(own_app: App, admin: SignedIn) -> None:
    wire = Wire(own_app, admin, "Content-Length: 100000")
    wire.socket.sendall(HEAD + f"{CSV}きえる,to vanish\n".encode())
    wire.socket.close()
    assert admin.get("/v1/words", params={"search": "to vanish"}).json()["pagination"]["total"] == 0


def test_a_body_that_says_it_is_too_large_is_413_before_it_is_read(own_app: App, admin: SignedIn) -> None:
    answer = Wire(own_app, admin, f"Content-Length: {MOST_FILE_BYTES + 1_000_000}").answer()
    assert answer.startswith("HTTP/1.1 413")
    assert '"message":"request entity too large"' in answer


def test_a_body_that_grows_too_large_is_413_while_it_is_read(own_app: App, admin: SignedIn) -> None:
    """In chunks, so that nothing says how large it will be; it never ends."""
    wire = Wire(own_app, admin, "Transfer-Encoding: chunked")
    piece = HEAD + CSV.encode()
    sent = 0
    try:
        while sent < 4 * MOST_FILE_BYTES:
            wire.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sent += len(piece)
            piece = b"\n" * 262_144
    except OSError:  # the server has closed its side
        pass
    answer = wire.answer()
    assert answer.startswith("HTTP/1.1 413")
    assert '"message":"request entity too large"' in answer


def test_a_file_of_twenty_mebibytes_is_taken_and_one_byte_more_is_not(admin: SignedIn) -> None:
    line = "おおきい,a large file,".encode() + b"x" * 100_000 + b"\n"
    content = b"Hiragana,English,Note\n" + line * (MOST_FILE_BYTES // len(line))
    content += b"\n" * (MOST_FILE_BYTES - len(content))
    assert counts(upload(admin, content))[1] == 1
    assert upload(admin, content + b"\n").status_code == 413


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "The file is empty"),
        (b"\xff\xfe\0", "not UTF-8"),
        (b'Hiragana,English\n"', "a quote is opened"),
        (b"PK\x03\x04", "The header has no Hiragana"),
        (b"\0\0\0", "The header has no Hiragana"),
    ],
)
def test_what_is_no_csv_is_400_with_a_sentence(admin: SignedIn, content: bytes, part: str) -> None:
    answer = upload(admin, content)
    assert answer.status_code == 400
    assert part in answer.json()["message"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", HEAD + TAIL),
        ("multipart/form-data; boundary=", HEAD + TAIL),
        ("multipart/form-data; boundary=other", HEAD + CSV.encode() + TAIL),
        ("multipart/form-data; boundary=cut", HEAD + CSV.encode()),
        ("multipart/form-data; boundary=cut", HEAD + CSV.encode() + b"\r\n" + HEAD + CSV.encode() + TAIL),
        ("multipart/form-data; boundary=cut", b"--cut\r\nx: y\r\n\r\nz" + TAIL),
        ("multipart/form-data; boundary=cut", b"--cut\r\n" + b"x" * 10_000),
        ("multipart/form-data; boundary=cut", (HEAD.replace(b"file", b"other") + b"x\r\n") * 100 + TAIL),
        ("multipart/form-data; boundary=\u00e9", HEAD),
        ("multipart/form-data; boundary*=utf-8''%0a", HEAD),
        ('multipart/form-data; boundary="cut', HEAD),
        ("multipart/form-data; boundary=" + "c" * 5000, HEAD),
        ("multipart/form-data; boundary=cut; boundary=other", HEAD),
        ("text/csv", CSV.encode()),
        ("\u00e9", b""),
    ],
)
def test_a_form_without_one_whole_file_is_400(admin: SignedIn, content_type: str, body: bytes) -> None:
    answer = admin.post(UPLOAD, content=body, headers={"Content-Type": content_type.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "Bad Request"


def test_other_fields_of_the_form_are_passed_over(admin: SignedIn) -> None:
    answer = admin.post(
        UPLOAD, data={"note": "x" * 5000}, files={"other": b"y", "file": f"{CSV}ほか,other fields\n".encode()}
    )
    assert counts(answer) == (1, 1, 0, 0)


def test_a_file_of_the_import_folder_is_imported(admin: SignedIn, import_folder: Path) -> None:
    (import_folder / "deep").mkdir()
    (import_folder / "deep" / "words 一.csv").write_text(f"{CSV}ふかい,deep\n")
    (import_folder / "link.csv").symlink_to(import_folder / "deep" / "words 一.csv")
    assert counts(admin.post("/v1/words/import/csv", json={"filePath": "deep/words 一.csv"})) == (1, 1, 0, 0)
    for again in ("link.csv", "./deep/../deep/words 一.csv", str(import_folder / "link.csv")):
        assert counts(admin.post("/v1/words/import/csv", json={"filePath": again})) == (1, 0, 1, 0)


def test_what_is_no_file_of_the_import_folder_is_400(admin: SignedIn, import_folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(f"{CSV}そと,outside\n")
    (import_folder / "leads out.csv").symlink_to(outside)
    (import_folder / "out").symlink_to(tmp_path)
    (import_folder / "loop").symlink_to("loop")
    (import_folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    os.mkfifo(import_folder / "pipe")
    elsewhere = "filePath must lie inside the import folder"
    absent = "filePath names no file in the import folder"
    for path, message in (
        (str(outside), elsewhere),
        ("leads out.csv", elsewhere),
        ("out/outside.csv", elsewhere),
        ("out/nope.csv", elsewhere),
        ("../x", elsewhere),
        ("/etc/passwd", elsewhere),
        ("nope.csv", absent),
        ("loop", absent),
        ("picture.png/x", absent),
        ("a" * 5000, absent),
        (".", "filePath must name a file, not a folder or a device"),
        ("pipe", "filePath must name a file, not a folder or a device"),
        ("picture.png", "The file is not UTF-8 text, in row 1 or soon after it."),
        ("a\0b", ["filePath must not contain a NUL character"]),
    ):
        answer = admin.post("/v1/words/import/csv", json={"filePath": path})
        assert (answer.status_code, answer.json()["message"]) == (400, message), path


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_400(admin: SignedIn, import_folder: Path) -> None:
    (import_folder / "secret.csv").touch(mode=0)
    answer = admin.post("/v1/words/import/csv", json={"filePath": "secret.csv"})
    assert (answer.status_code, answer.json()["message"]) == (
        400, "filePath names a file that the server may not read",
    )  # fmt: skip


def test_no_sql_is_told_whatever_is_imported(admin: SignedIn) -> None:
    rows = [
        "'; DROP TABLE words; --,x",
        "\\.,\\N",
        "a\0b,c",
        "あ,%s %(id)s {}",
        "=1+1,@SUM(A1)",
        "x" * 9000 + "," + "y" * 9000,
    ]
    answer = upload(admin, CSV + "\n".join(rows) + "\n")
    assert counts(answer) == (6, 5, 0, 1)
    assert answer.json()["errorDetails"] == ["Row 4: Hiragana must not contain a NUL character"]


def test_the_same_file_at_once_is_stored_once(admin: SignedIn) -> None:
    csv = CSV + "".join(f"いち{number},at once\n" for number in range(1300))
    with ThreadPoolExecutor(6) as pool:
        answers = [counts(answer) for answer in pool.map(lambda _n: upload(admin, csv), range(6))]
    assert sum(imported for _total, imported, _duplicates, _errors in answers) == 1300
    assert all(imported + duplicates == 1300 for _total, imported, duplicates, _errors in answers)


def test_clearing_takes_every_word_and_a_new_page_shows_it(admin: SignedIn) -> None:
    stats: dict[str, Any] = admin.get("/v1/words/import/stats").json()
    assert stats["totalWords"] == stats["recentImports"] > 0
    assert stats["lastImportTime"] is not None
    page = admin.get("/v1/words", params={"page": 60, "limit": 20})
    assert len(page.json()["words"]) > 0
    assert admin.delete("/v1/words/import/clear-all").json() == {"deletedCount": stats["totalWords"]}
    assert admin.get("/v1/words/import/stats").json() == {"totalWords": 0, "recentImports": 0, "lastImportTime": None}
    after = admin.get("/v1/words", params={"page": 60, "limit": 20}, headers={"If-None-Match": page.headers["etag"]})
    assert after.json() == {"words": [], "pagination": {"page": 60, "limit": 20, "total": 0, "totalPages": 0}}


def test_the_documentation_says_what_is_uploaded(admin: SignedIn) -> None:
    paths = admin.get("/v1/docs/openapi.json").json()["paths"]
    operation = paths[UPLOAD]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["format"] == "binary"
    assert {"201", "400", "401", "403", "408", "413", "429", "503"} == set(operation["responses"])
    assert paths["/v1/words"]["post"]["requestBody"]["content"]["application/json"]["schema"]["required"] == [
        "hiragana"
    ]
    for path, method in (
        ("/v1/words", "post"),
        ("/v1/words/{word_id}", "patch"),
        ("/v1/words/import/clear-all", "delete"),
    ):
        assert paths[path][method]["security"]
