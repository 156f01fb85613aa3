"""A registry between the machine that builds and the one that runs: push, both platforms under one tag, run-migrations.sh."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
import yaml

from kotobamichi import __version__
from tests.containers.compose import ROOT, Answer, Stack, docker, inspect, wait_until
from tests.containers.conftest import running
from tests.containers.test_production import PASSWORD
from tests.support.servers import free_port

SCRIPT = ROOT / "scripts/run-migrations.sh"
CONFIGURATION = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
REPOSITORY = "words/kotobamichi-migration"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def registry(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on this machine, HOST:PORT."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    file = folder / "config.yml"
    file.write_text(CONFIGURATION.format(folder=folder / "data", port=port))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/v2/"), "a registry that answers")
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def digest(registry: str, tag: str) -> str:
    """The migration image, pushed; then it is gone from this machine but for its other name."""
    name = f"{registry}/{REPOSITORY}:pushed"
    docker("tag", f"kotobamichi-migration:{tag}", name)
    docker("push", "--quiet", name)
    docker("rmi", name)
    answer = httpx.head(f"http://{registry}/v2/{REPOSITORY}/manifests/pushed", headers={"Accept": MANIFEST})
    return answer.headers["Docker-Content-Digest"]


@pytest.fixture(scope="module")
def database(tag: str) -> Iterator[Stack]:
    with running(Stack([ROOT / "docker-compose.yml"], {"IMAGE_TAG": tag, "DATABASE_PASSWORD": PASSWORD})) as stack:
        stack.up("db", "--wait")
        yield stack


def run_migrations(*arguments: str, stdin: str = "") -> Answer:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        ["bash", str(SCRIPT), *arguments], input=stdin, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr, 0.0)


def test_it_pulls_from_the_registry_by_tag_and_by_digest(
    registry: str, digest: str, database: Stack, tmp_path: Path
) -> None:
    image = ["--registry", f"{registry}/words"]
    network = ["--network", f"{database.name}_default"]
    url = tmp_path / "url"
    url.write_text(f"postgresql://kotobamichi:{quote(PASSWORD, safe='')}@db:5432/kotobamichi\n")

    pending = run_migrations(*image, "--tag", digest, *network, "--url-file", str(url), "status")
    assert pending.code == 3, pending.output
    done = run_migrations(*image, "--tag", "pushed", *network, "--url-file", str(url))
    assert done.code == 0, done.output
    assert "Applied" in done.stdout
    again = run_migrations(*image, "--tag", digest, *network, "--url-stdin", "check", stdin=url.read_text())
    assert again.code == 0, again.output
    # As it is, not percent-encoded, on the port that is open to this machine.
    host = database.compose("port", "db", "5432").stdout.strip()
    raw = f"postgresql://kotobamichi:{PASSWORD}@{host}/kotobamichi"
    assert run_migrations(*image, "--tag=pushed", "--network=host", "--database-url", raw, "status").code == 0
    assert PASSWORD[:20] not in pending.output + done.output + again.output
    nothing = run_migrations(*image, "--tag", "9.9.9", "--url-file", str(url))
    assert nothing.code == 125  # the engine's own: there is no such image


def test_no_password_can_be_seen_while_it_runs(registry: str, digest: str, database: Stack) -> None:
    """A deploy that waits for another session, looked at from outside: what the engine shows, and every process."""
    host, port = database.compose("port", "db", "5432").stdout.strip().split(":")
    secret = uuid.uuid4().hex
    login = {"host": host, "port": port, "user": "kotobamichi", "password": PASSWORD}
    arguments = ["--registry", f"{registry}/words", "--tag", digest, "--network", "host", "--url-stdin"]
    with psycopg.connect(**login, dbname="postgres", autocommit=True) as session:
        session.execute(f"CREATE ROLE watched SUPERUSER LOGIN PASSWORD '{secret}'")
        session.execute("CREATE DATABASE watched")
        with (
            psycopg.connect(**login, dbname="watched") as holder,
            subprocess.Popen(["bash", str(SCRIPT), *arguments], stdin=subprocess.PIPE, text=True) as process,
        ):
            holder.execute("CREATE TABLE _michi_ledger ()")  # not committed: whoever wants that name waits
            assert process.stdin is not None
            process.stdin.write(f"postgresql://watched:{secret}@{host}:{port}/watched\n")
            process.stdin.close()
            busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'michi/%'"
            wait_until(lambda: session.execute(busy).fetchone() != (0,), "michi at work")
            shown = process_list() + docker("inspect", *docker("ps", "--quiet").stdout.split()).stdout
            holder.rollback()
        assert "--database-url-stdin" in shown
        assert secret not in shown
        assert process.returncode == 0


def process_list() -> str:
    """The arguments and the environment of every process of this machine but those of the test itself."""
    seen = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            for what in ("cmdline", "environ"):
                try:
                    seen.append((process / what).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue  # it ended meanwhile
    return "\n".join(seen)


def run_step(name: str, folder: Path, **environ: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Runs a step of publish.yml as GitHub does: its shell, its files for outputs and the summary. Gives the outputs, too."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())["jobs"]
    script = next(step["run"] for job in jobs.values() for step in job["steps"] if step["name"].startswith(name))
    output = folder / "output"
    output.write_text("")
    files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **files, **environ}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, dict(line.split("=", 1) for line in output.read_text().splitlines())


def test_a_release_whose_tag_is_not_the_version_is_refused(tmp_path: Path) -> None:
    for folder in ("src", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    where = {"REGISTRY": "ghcr.io", "GITHUB_REPOSITORY": "Owner/KotobaMichi"}
    done, outputs = run_step("Name the images", tmp_path, GITHUB_REF_NAME=f"v{__version__}", **where)
    assert done.returncode == 0, done.stderr
    assert outputs == {"app": "ghcr.io/owner/kotobamichi", "migration": "ghcr.io/owner/kotobamichi-migration"}
    done, _ = run_step("Name the images", tmp_path, GITHUB_REF_NAME="v99.0.0", **where)
    assert done.returncode == 1
    assert f"The tag is v99.0.0, but the code is version {__version__}." in done.stdout


def test_both_platforms_get_one_tag_from_their_digests(registry: str, digest: str, tmp_path: Path) -> None:
    """The last steps of publish.yml against a real registry: nothing is built anew, the tag names what was tried."""
    source = f"{registry}/{REPOSITORY}"
    docker("build", "--tag", f"{source}:other", "-", stdin=f"FROM {source}@{digest}\nLABEL other=platform\n")
    docker("push", "--quiet", f"{source}:other")
    other = str(inspect(f"{source}:other")["RepoDigests"][0]).split("@")[1]
    (tmp_path / "digests").mkdir()
    (tmp_path / "digests/migration-amd64").write_text(digest + "\n")
    (tmp_path / "digests/migration-arm64").write_text(other + "\n")
    run = {"REGISTRY": registry, "GITHUB_REPOSITORY": "Words/KotobaMichi", "GITHUB_RUN_ID": "17"}

    done, joined = run_step("Join both platforms", tmp_path, IMAGE="migration", **run)
    assert done.returncode == 0, done.stderr
    assert joined["name"] == source
    assert joined["digest"].startswith("sha256:")
    shown = docker("buildx", "imagetools", "inspect", f"{source}@{joined['digest']}").stdout
    assert digest in shown
    assert other in shown
    assert tags(registry).isdisjoint({__version__})

    tagged = {"GITHUB_REF_NAME": f"v{__version__}", "NAME": source, "DIGEST": joined["digest"]}
    done, _ = run_step("Give it the version", tmp_path, **tagged)
    assert done.returncode == 0, done.stderr
    assert __version__ in tags(registry)
    assert (tmp_path / "summary").read_text() == f"{source}:{__version__} is {joined['digest']}\n"
    docker("pull", "--quiet", f"{source}:{__version__}")
    assert docker("run", "--rm", f"{source}:{__version__}", "--version").stdout == f"michi {__version__}\n"
    docker("rmi", "--force", f"{source}:{__version__}", f"{source}:other")


def test_what_a_release_must_pass_runs_on_what_was_pushed(registry: str, digest: str, tag: str) -> None:
    arguments = [f"kotobamichi:{tag}", f"{registry}/{REPOSITORY}@{digest}"]
    script = str(ROOT / "scripts/check-images.sh")
    done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("==> both are well\n")
    broken = subprocess.run(
        ["bash", script, "postgres:17", arguments[1]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "READY_SECONDS": "2"},
    )
    assert broken.returncode == 1
    assert "a ready app did not come about in time" in broken.stderr


def tags(registry: str) -> set[str]:
    return set(httpx.get(f"http://{registry}/v2/{REPOSITORY}/tags/list").json()["tags"])
