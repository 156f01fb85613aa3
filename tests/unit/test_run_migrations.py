"""scripts/run-migrations.sh: what it asks of an engine, which here writes down what it gets; the container ring has a real one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/run-migrations.sh"
URL = "postgresql://owner:p%40ss word'\"$(id)`@db:5432/words?sslmode=require"
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" >"$RECORD/argv"
tr '\\0' '\\n' </proc/$$/environ >"$RECORD/environ"
cat >"$RECORD/stdin"
exit "${ENDS_WITH:-0}"
"""


@dataclass(frozen=True)
class Seen:
    """What the engine got, and what a person saw."""

    code: int
    shown: str
    argv: list[str]
    environ: str
    stdin: str


@dataclass(frozen=True)
class Machine:
    """A machine that has the programs of `folder` and a shell."""

    folder: Path

    def install(self, name: str) -> None:
        path = self.folder / name
        path.write_text(RECORDER)
        path.chmod(0o755)

    def run(self, *arguments: str, stdin: str = "", **environ: str) -> Seen:
        environment = {"PATH": f"{self.folder}:{os.defpath}", "RECORD": str(self.folder), **environ}
        done = subprocess.run(
            ["bash", str(SCRIPT), *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        read = {name: self.read(name) for name in ("argv", "environ", "stdin")}
        return Seen(
            done.returncode, done.stdout + done.stderr, read["argv"].splitlines(), read["environ"], read["stdin"]
        )

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.install("engine")
    return made


def ways(folder: Path) -> dict[str, tuple[list[str], str, dict[str, str]]]:
    """Each way to give the URL: arguments, standard input, environment."""
    file = folder / "url"
    file.write_text(URL + "\n")
    return {
        "argument": (["--database-url", URL], "", {}),
        "argument with =": ([f"--database-url={URL}"], "", {}),
        "file": (["--url-file", str(file)], "", {}),
        "stdin": (["--url-stdin"], URL + "\n", {}),
        "DATABASE_URL": ([], "", {"DATABASE_URL": URL}),
        "MIGRATION_DATABASE_URL": ([], "", {"MIGRATION_DATABASE_URL": URL, "DATABASE_URL": "postgresql://pooler/x"}),
        "a variable of the same name": (["--database-url", URL], "", {"url": "something"}),
    }


def test_the_url_reaches_the_container_on_stdin_and_nowhere_else(machine: Machine) -> None:
    for name, (arguments, stdin, environ) in ways(machine.folder).items():
        seen = machine.run(*arguments, stdin=stdin, CONTAINER_ENGINE="engine", **environ)
        assert seen.code == 0, name
        assert seen.stdin == URL + "\n", name
        assert "--database-url-stdin" in seen.argv, name
        assert not [text for text in (*seen.argv, seen.environ, seen.shown) if "p%40ss" in text or "pooler" in text]


def test_deploy_is_the_verb_when_none_is_given_and_the_container_gives_up_what_it_can(machine: Machine) -> None:
    seen = machine.run("--database-url", URL, CONTAINER_ENGINE="engine")
    assert seen.argv == [
        "run", "--rm", "--interactive", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "kotobamichi-migration:dev", "deploy", "--database-url-stdin",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "image"),
    [
        ([], "kotobamichi-migration:dev"),
        (["--tag", "1.2.3"], "kotobamichi-migration:1.2.3"),
        (["--repository", "words/migration", "--tag", "1.2.3"], "words/migration:1.2.3"),
        (["--registry=ghcr.io/owner/", "--tag=1.2.3"], "ghcr.io/owner/kotobamichi-migration:1.2.3"),
        (
            ["--registry", "localhost:5000", "--tag", "sha256:" + "a" * 64],
            f"localhost:5000/kotobamichi-migration@sha256:{'a' * 64}",
        ),
    ],
)
def test_the_image_is_named_by_registry_repository_and_tag(machine: Machine, options: list[str], image: str) -> None:
    seen = machine.run("--database-url", URL, *options, "status", "--json", CONTAINER_ENGINE="engine")
    assert seen.argv[-4:] == [image, "status", "--database-url-stdin", "--json"]


def test_a_network_is_joined(machine: Machine) -> None:
    argv = machine.run("--network", "two words", "--database-url", URL, CONTAINER_ENGINE="engine").argv
    assert argv[argv.index("--network") + 1] == "two words"


def test_a_dry_run_prints_the_command_and_runs_nothing(machine: Machine) -> None:
    arguments = ["--dry-run", "--network", "a b", "--url-stdin", "plan", "--json"]
    seen = machine.run(*arguments, CONTAINER_ENGINE="engine", DATABASE_URL=URL)
    assert seen.code == 0
    assert seen.argv == []
    expected = r"--network a\ b kotobamichi-migration:dev plan --database-url-stdin --json"
    assert seen.shown.startswith("engine run --rm ")
    assert seen.shown.endswith(expected + "\n")
    assert "p%40ss" not in machine.run("--dry-run", "--database-url", URL, CONTAINER_ENGINE="engine").shown


@pytest.mark.parametrize("code", ["0", "3", "7", "125", "143"])
def test_the_exit_code_is_passed_through(machine: Machine, code: str) -> None:
    seen = machine.run("--database-url", URL, "check", CONTAINER_ENGINE="engine", ENDS_WITH=code)
    assert seen.code == int(code)


def test_docker_is_taken_before_podman(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh", "tr", "cat"):
        (folder / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    bare = {"PATH": str(folder)}
    nothing = machine.run("--database-url", URL, **bare)
    assert nothing.code == 2
    assert "neither docker nor podman" in nothing.shown
    Machine(folder).install("podman")
    assert machine.run("--database-url", URL, "--dry-run", **bare).shown.startswith("podman run ")
    assert machine.run("--database-url", URL, ENDS_WITH="5", **bare).code == 5
    Machine(folder).install("docker")
    assert machine.run("--database-url", URL, "--dry-run", **bare).shown.startswith("docker run ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "There is no database URL."),
        (["--url-stdin"], "No database URL arrived on standard input."),
        (["--url-file", "/nonexistent/url"], "--url-file names a file that cannot be read: /nonexistent/url."),
        (["--url-file", os.devnull], "--url-file names a file that cannot be read: /dev/null."),
        (["--url-stdin", "--database-url", URL], "--url-stdin and --database-url are both given."),
        (["--registry", "ghcr.io/owner", "--database-url", URL], "--registry needs --tag."),
        (["--database-url"], "--database-url is unknown or has no value."),
        (["--tag", "", "--database-url", URL], "--tag has an empty value."),
        (["--json", "status"], "--json is not an option."),
        (["--wait=3s"], "--wait is not an option."),
    ],
)
def test_what_cannot_be_meant_is_refused_with_one_sentence(machine: Machine, arguments: list[str], said: str) -> None:
    seen = machine.run(*arguments, CONTAINER_ENGINE="engine")
    assert seen.code == 2
    assert seen.argv == []
    assert seen.shown.splitlines()[0] == f"run-migrations.sh: {said}"
    assert len(seen.shown.splitlines()) == 2
    assert "p%40ss" not in seen.shown


def test_help_names_every_option(machine: Machine) -> None:
    seen = machine.run("--help")
    assert seen.code == 0
    for option in (
        "--repository", "--tag", "--registry", "--database-url", "--url-file", "--url-stdin", "--network", "--dry-run",
    ):  # fmt: skip
        assert option in seen.shown
