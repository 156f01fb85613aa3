"""How long an administrator waits for the import of the vocabulary as a CSV: 8,334 new rows, uploaded over HTTP."""

from __future__ import annotations

import csv
import io
import json
import statistics
import time
import urllib.request
from datetime import UTC, datetime
from typing import Any

from benchmarks import table
from benchmarks.postgres import Postgres
from benchmarks.process import HOST, BenchmarkFailed

from kotobamichi.accounts.tokens import AccessClaims, sign_access
from kotobamichi.words.csv_rows import TITLES
from kotobamichi.words.vocabulary import read_vocabulary

SECRET = "a secret of the benchmarks alone, as long as it has to be"
ADMINISTRATOR = "019ac000-0000-7000-8000-000000000001"
EMAIL = "bench@example.org"
TOKEN_SECONDS = 3600
WAIT_SECONDS = 120.0
BOUNDARY = "kotobamichi-benchmark"


def prepare(postgres: Postgres) -> None:
    """Stores the administrator whose token `measure` sends."""
    postgres.execute(
        f"INSERT INTO users (id, email, role, email_verified_at) VALUES ('{ADMINISTRATOR}', '{EMAIL}', 'ADMIN', now())"
    )


def measure(port: int, rounds: int) -> dict[str, Any]:
    """Seconds of each import. Words are cleared before each, so the lists of the same server are measured earlier."""
    content = vocabulary_csv()
    seconds = []
    for _ in range(rounds + 1):
        _ask(port, "DELETE", "/v1/words/import/clear-all")
        began = time.perf_counter()
        report = _ask(port, "POST", "/v1/words/import/upload", content)
        seconds.append(time.perf_counter() - began)
        if (report["imported"], report["errors"]) != (8334, 0):
            raise BenchmarkFailed(f"the import did not store every word: {report}")
    return {"rows": 8334, "seconds": seconds[1:]}  # the first warms up


def vocabulary_csv() -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, TITLES, restval="", extrasaction="ignore")
    writer.writerow(TITLES)
    for word in read_vocabulary():
        writer.writerow({column: getattr(word, column, None) or "" for column in TITLES})
    return out.getvalue().encode()


def show(result: dict[str, Any]) -> str:
    median = statistics.median(result["seconds"])
    raw = " ".join(f"{seconds:.3f}" for seconds in result["seconds"])
    return table.markdown(["import of a CSV", "median, s", "raw"], [[f"{result['rows']} rows", f"{median:.3f}", raw]])


def _ask(port: int, method: str, path: str, content: bytes | None = None) -> Any:
    claims = AccessClaims(ADMINISTRATOR, EMAIL, "ADMIN", version=0)
    headers = {"Authorization": f"Bearer {sign_access(claims, SECRET, datetime.now(UTC), TOKEN_SECONDS)}"}
    body = None
    if content is not None:
        headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="words.csv"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return json.loads(answer.read())
