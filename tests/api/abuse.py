"""Abuse of a running app: whatever is sent, no 5xx, and what the OpenAPI document says holds.

    python -m tests.api.abuse --cases 2000 --seed 7

Schemathesis makes requests of the document, right ones and wrong ones, for nobody, a learner and an administrator. Each text that
the document names, each parameter and some headers also get what injects into SQL, HTML, headers and logs. All of it reads the
document that is served, so a new route is abused as soon as it is there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg

from tests.support.accounts import SECRET, administrator, learner
from tests.support.app import App, started

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
DOCUMENT = "/v1/docs/openapi.json"
RUN_SECONDS = 1200
GENERATED = re.compile(r"(\d+) generated")

# Each would do something if it were taken for more than text. `KOTO` marks what must not come back as it was.
INJECTIONS = (
    "' OR '1'='1", "'; DROP TABLE words; --", "1; SELECT pg_sleep(20)--", '" OR ""="', "\\'; DELETE FROM users; --", "%' --",
    "%", "_", "$$; DROP TABLE users; $$", "{0}", "%(limit)s", "%s%n%x", "${jndi:ldap://127.0.0.1/x}", "{{7*7}}",
    "<script>KOTO</script>", "x\r\nX-Injected: KOTO", "x\nSet-Cookie: KOTO=1",
    "2026-01-01T00:00:00.000Z ERROR   kotobamichi.http: request.failed KOTO", "\u2028KOTO", "\x1b[31mKOTO\x1b[0m", "\u202eKOTO",
    "\x00", "\ud800", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "=cmd|'/c calc'!A1", "a" * 20_000, "あ" * 5_000,
    "\U0001f600", "null", "true", "-1", "1e400", "0x1F", "99999999999999999999", "NaN", "",
)  # fmt: skip
# What no SQL error may look like to a client.
LEAKS = re.compile(
    r"Traceback|psycopg|syntax error|pg_catalog|relation \"|SQLSTATE|File \"/|asyncpg|DETAIL:|HINT:", re.IGNORECASE
)
HEADERS = (
    "Authorization",
    "Cookie",
    "X-Request-Id",
    "X-Forwarded-For",
    "If-None-Match",
    "Accept-Language",
    "User-Agent",
    "Referer",
)


@dataclass
class Outcome:
    """What came of it: how many requests, and what was wrong, in words."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.cases += other.cases
        self.failures += other.failures


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    described: dict[str, Any]

    @property
    def needs_token(self) -> bool:
        return bool(self.described.get("security"))

    @property
    def role(self) -> str | None:
        return self.described.get("x-role")

    @property
    def body(self) -> dict[str, Any] | None:
        content = self.described.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema

    def url(self, **values: str) -> str:
        """The path with these values, percent-encoded, for its parameters; the rest get an id that nothing has."""
        nobody = "01890000-0000-7000-8000-000000000000"
        return re.sub(r"\{(\w+)\}", lambda match: quote(values.get(match[1], nobody), safe=""), self.path)

    @property
    def path_parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def query_parameters(self) -> list[str]:
        return [one["name"] for one in self.described.get("parameters", []) if one["in"] == "query"]


def operations(document: dict[str, Any]) -> list[Operation]:
    """Everything that the document describes."""
    return [
        Operation(method.upper(), path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def example(schema: dict[str, Any]) -> Any:
    """Something that the schema allows, as far as it can say."""
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        return {name: example(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"])]
    if "enum" in schema:
        return schema["enum"][0]
    text = "somebody@example.org" if schema.get("format") == "email" else "x" * max(1, schema.get("minLength", 1))
    return {"boolean": True, "integer": 1, "number": 1}.get(str(kind), text)


def spoiled(value: Any, injection: str) -> Iterator[Any]:
    """The value with one text of it, or its kind, replaced: once for every place."""
    if isinstance(value, dict):
        for name, part in value.items():
            for worse in spoiled(part, injection):
                yield {**value, name: worse}
        yield {**value, injection[:50]: injection}
    elif isinstance(value, list):
        for number, part in enumerate(value):
            for worse in spoiled(part, injection):
                yield [*value[:number], worse, *value[number + 1 :]]
    else:
        yield injection


def inject(client: httpx.Client, described: Sequence[Operation], chance: random.Random, most: int) -> Outcome:
    """Tries `most` injections, chosen by chance, in texts of bodies, in paths, queries and headers."""
    attempts = list(_attempts(described))
    outcome = Outcome()
    for operation, request in chance.sample(attempts, min(most, len(attempts))):
        outcome.cases += 1
        try:
            answer = client.send(client.build_request(operation.method, **request), follow_redirects=False)
        except (UnicodeEncodeError, httpx.InvalidURL, httpx.LocalProtocolError, ValueError):
            outcome.cases -= 1  # no client could send that
            continue
        for fault in _faults(answer):
            outcome.failures.append(f"{operation.method} {operation.path}: {fault}\n    {str(request)[:400]}")
    return outcome


def _attempts(described: Sequence[Operation]) -> Iterator[tuple[Operation, dict[str, Any]]]:
    for operation, injection in itertools.product(described, INJECTIONS):
        for name in operation.path_parameters:
            if "\ud800" not in injection and len(injection) < 6000:
                yield operation, {"url": operation.url(**{name: injection})}
        for name in operation.query_parameters:
            if "\ud800" not in injection and len(injection) < 6000:
                yield operation, {"url": operation.url(), "params": {name: injection}}
        if operation.body is not None:
            kind = {"Content-Type": "application/json"}
            for body in spoiled(example(operation.body), injection):
                yield operation, {"url": operation.url(), "content": json.dumps(body).encode(), "headers": kind}
            yield (
                operation,
                {"url": operation.url(), "content": injection.encode("utf-8", "surrogatepass"), "headers": kind},
            )
        for name in HEADERS:
            value = re.sub(r"[\r\n\x00]", " ", injection).encode("utf-8", "surrogatepass")[:4000]
            yield operation, {"url": operation.url(), "headers": [(name.encode(), value)]}


def _faults(answer: httpx.Response) -> Iterator[str]:
    if answer.status_code >= 500:
        yield f"answered {answer.status_code}: {answer.text[:200]}"
    if "x-injected" in answer.headers or "KOTO" in answer.headers.get("set-cookie", ""):
        yield "a header was injected"
    if (
        LEAKS.search(answer.text)
        and answer.headers.get("content-type", "").startswith("application/json")
        and answer.status_code >= 400
    ):
        yield f"tells what is inside: {answer.text[:200]}"
    if answer.status_code >= 400 and "html" in answer.headers.get("content-type", ""):
        yield "answers an error with HTML"


def schemathesis(app: App, name: str, client: httpx.Client, examples: int, seed: int, phases: str) -> Outcome:
    """One run of schemathesis as whoever the client is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "run", app.url + DOCUMENT,
            "--phases", phases, "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--generation-database", "none", "--generation-allow-x00", "false",
            "--request-timeout", "30", "--warnings", "off", "--no-shrink",
        ]  # fmt: skip
        if (token := client.headers.get("authorization")) is not None:
            command += ["--header", f"Authorization: {token}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, cwd=folder, check=False)
    generated = GENERATED.search(done.stdout)
    outcome = Outcome(int(generated[1]) if generated else 0)
    if done.returncode != 0:
        said = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
        outcome.failures.append(f"schemathesis as {name}, seed {seed}:\n{said[:20_000]}")
    return outcome


def clients(app: App) -> dict[str, httpx.Client]:
    """Nobody, a learner and an administrator."""
    return {"nobody": app.client(), "learner": learner(app), "administrator": administrator(app)}


def stock(url: str) -> None:
    """Some words, as many as a list may hold and none that matters."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO words (id, hiragana, english, content_hash)"
            " SELECT gen_random_uuid(), 'あ' || n, 'word ' || n, encode(sha256(('w' || n)::bytea), 'hex')"
            " FROM generate_series(1, 50) n"
        )


def abuse(app: App, seed: int, *, examples: int, injections: int, phases: str = "fuzzing") -> Outcome:
    """Everything, against an app whose database may be spoiled."""
    chance = random.Random(seed)
    outcome = Outcome()
    people = clients(app)
    try:
        described = operations(people["nobody"].get(DOCUMENT).json())
        with concurrent.futures.ThreadPoolExecutor(len(people)) as threads:
            runs = [
                threads.submit(schemathesis, app, name, client, examples, chance.randrange(2**31), phases)
                for name, client in people.items()
            ]
            for client in people.values():
                outcome.add(inject(client, described, chance, injections))
            for run in runs:
                outcome.add(run.result())
    finally:
        for client in people.values():
            client.close()
    outcome.failures += faults_of_log(app.output)
    return outcome


def faults_of_log(output: str) -> list[str]:
    """What must not be in the log of an abused app: traces, forged lines, control characters, addresses, passwords."""
    line = re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO   |WARNING|ERROR  ) [\w.]+: |  \| |[A-Z][\w ]+"
    )
    faults = []
    for text in output.splitlines():
        if "request.failed" in text and "KOTO" not in text:
            faults.append(f"the log tells of a failure: {text[:300]}")
        elif (
            "KOTO" in text
            or "example.org" in text
            or re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u202e]", text)
            or not line.match(text)
        ):
            faults.append(f"the log holds a line that should not be there: {text[:300]!r}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    from tests.api.losses import new_database

    with new_database() as url:
        stock(url)
        with started("serve", DATABASE_URL=url, JWT_SECRET=SECRET, RATE_LIMIT="off", MAIL="off") as app:
            app.wait_until_ready()
            outcome = Outcome()
            for part in itertools.count():
                if outcome.cases >= options.cases or outcome.failures:
                    break
                seed = options.seed + part
                outcome.add(abuse(app, seed, examples=15, injections=300, phases="examples,coverage,fuzzing,stateful"))
    for failure in outcome.failures:
        print(failure)
    print(f"{outcome.cases} cases, {len(outcome.failures)} failures, seed {options.seed}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
