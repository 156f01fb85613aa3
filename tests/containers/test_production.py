"""docker-compose.prod.yml: alone in a folder, with secrets from files, hardened, refusing to start on half its settings."""

from __future__ import annotations

import re
import shutil
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import ROOT, Stack, docker, inspect
from tests.containers.conftest import running

FILE = ROOT / "docker-compose.prod.yml"
REQUIRED = sorted(set(re.findall(r"\$\{(\w+):\?", FILE.read_text())))
PASSWORD = string.digits + string.ascii_letters + string.punctuation + " end"
JWT_SECRET = "0123456789" * 5


def settings(tag: str) -> dict[str, str]:
    return {
        "KOTOBAMICHI_VERSION": tag,
        "CORS_ORIGIN": "https://learn.example.org",
        "POSTGRES_UID_GID": postgres_account(),
    }


def postgres_account() -> str:
    """As numbers; the public image has 999:999, another may not."""
    answer = docker("run", "--rm", "--entrypoint", "sh", "postgres:17", "-c", "id -u postgres; id -g postgres")
    return ":".join(answer.stdout.split())


def install(folder: Path) -> Path:
    """What an operator has: the one file, and the secrets as its first lines say."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for name, value in (("database_password", PASSWORD), ("jwt_secret", JWT_SECRET)):
        (secrets / name).write_text(value + "\n")
        (secrets / name).chmod(0o444)
    return Path(shutil.copy(FILE, folder))


@pytest.fixture(scope="module")
def production(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Started once for the module, from images that are there already under a version."""
    folder = tmp_path_factory.mktemp("server")
    with running(Stack([install(folder)], settings(tag))) as stack:
        stack.up()
        yield stack


def test_what_is_required_is_known() -> None:
    assert REQUIRED == ["CORS_ORIGIN", "KOTOBAMICHI_VERSION"]


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_setting_names_itself(missing: str, tmp_path: Path) -> None:
    given = dict.fromkeys(REQUIRED, "x") | {missing: ""}
    answer = Stack([install(tmp_path)], given).compose("config", check=False)
    assert answer.code != 0
    assert f"required variable {missing} is missing a value: Set {missing} to " in answer.stderr


def test_a_missing_secret_names_its_file(tag: str, tmp_path: Path) -> None:
    file = install(tmp_path)
    (tmp_path / "secrets/jwt_secret").unlink()
    with running(Stack([file], settings(tag))) as stack:
        answer = stack.compose("create", check=False)
    assert answer.code != 0
    assert "secrets/jwt_secret" in answer.output


def test_no_image_is_called_latest() -> None:
    images = re.findall(r"^ +image: (.*)$", FILE.read_text(), re.MULTILINE)
    assert len(images) == 4
    assert all("latest" not in image and ":" in image for image in images)


def test_it_starts_as_the_only_file(production: Stack) -> None:
    assert production.state("migration")["ExitCode"] == 0
    production.wait_until_ready()
    production.wait_for_words()


def test_every_container_is_hardened(production: Stack) -> None:
    for service in ("db", "migration", "app"):
        facts = production.inspect(service)
        host = facts["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", facts["Config"]["User"]), service
        assert 0 < host["PidsLimit"] <= 1000, service
        assert host["LogConfig"]["Config"]["max-size"], service
        assert "/tmp" in host["Tmpfs"], service
        assert facts["Config"]["StopTimeout"] >= 30, service
    script = "grep CapEff /proc/1/status; touch /app/x"
    answer = production.compose("exec", "--no-TTY", "app", "sh", "-c", script, check=False)
    assert answer.stdout.split() == ["CapEff:", "0000000000000000"]
    assert "Read-only file system" in answer.stderr


def test_the_database_cannot_be_reached_from_outside(production: Stack) -> None:
    assert not production.inspect("db")["HostConfig"]["PortBindings"]
    assert set(production.inspect("db")["NetworkSettings"]["Networks"]) == {f"{production.name}_backend"}
    assert inspect(f"{production.name}_backend")["Internal"]
    assert production.compose("port", "app", "3000").stdout.startswith("127.0.0.1:")


def test_no_secret_is_in_what_the_engine_shows(production: Stack) -> None:
    for service in ("db", "migration", "app"):
        shown = docker("inspect", production.container(service)).stdout
        assert PASSWORD[:20] not in shown
        assert JWT_SECRET not in shown
    said = production.logs()
    assert PASSWORD[:20] not in said
    assert JWT_SECRET not in said


def test_a_second_up_changes_nothing(production: Stack) -> None:
    before = production.container("app")
    production.up()
    assert "Nothing to do" in production.logs("migration")
    assert production.container("app") == before


def test_a_backup_can_be_read(production: Stack) -> None:
    folder = production.files[0].parent / "backups"
    answer = production.compose("run", "--rm", "backup")
    assert "bytes" in answer.stdout
    backups = list(folder.iterdir())
    assert [path.suffix for path in backups] == [".dump"]
    listing = docker(
        "run", "--rm", "--volume", f"{folder}:/backups:ro", "--entrypoint", "pg_restore", "postgres:17",
        "--list", f"/backups/{backups[0].name}",
    ).stdout  # fmt: skip
    assert "TABLE DATA public words" in listing
    assert "TABLE DATA public _michi_ledger" in listing
