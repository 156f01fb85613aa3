"""docker-compose.prod.yml: alone in a folder, with secrets from files, hardened, refusing to start on half its settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import ROOT, WORDS, Stack, docker, inspect
from tests.containers.conftest import running

FILE = ROOT / "docker-compose.prod.yml"
REQUIRED = sorted(set(re.findall(r"(?<!\$)\$\{(\w+):\?", FILE.read_text())))
PASSWORD = string.digits + string.ascii_letters + string.punctuation + " end"
JWT_SECRET = "0123456789" * 5


def settings(tag: str) -> dict[str, str]:
    return {
        "KOTOBAMICHI_VERSION": tag,
        "CORS_ORIGIN": "https://learn.example.org",
        "MAIL": "off",
        "POSTGRES_UID_GID": postgres_account(),
    }


def postgres_account() -> str:
    """As numbers; the public image has 999:999, another may not."""
    answer = docker("run", "--rm", "--entrypoint", "sh", "postgres:17", "-c", "id -u postgres; id -g postgres")
    return ":".join(answer.stdout.split())


def install(folder: Path) -> Path:
    """What an operator has: the one file, and secrets of their own."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for name, value in (("database_password", PASSWORD), ("jwt_secret", JWT_SECRET), ("smtp_password", "")):
        (secrets / name).write_text(value and value + "\n")
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
    assert len(images) == 7
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


def test_the_doctors_find_nothing_wrong_inside_the_containers(production: Stack) -> None:
    production.wait_until_ready()
    app = production.compose("exec", "--no-TTY", "app", "kotobamichi", "doctor")
    assert [line.split()[:2] for line in app.stdout.splitlines()] == [
        ["✓", subject] for subject in ("settings", "database", "schema", "clock", "Redis", "mail")
    ]
    michi = production.compose("run", "--rm", "--no-deps", "migration", "doctor", "--json")
    levels = {finding["subject"]: finding["level"] for finding in json.loads(michi.stdout)["findings"]}
    assert levels.pop("TLS") == "warning"  # it stays on this machine
    assert set(levels.values()) == {"ok"}


def test_nothing_resets_a_database_that_production_has_deployed_to(production: Stack) -> None:
    """Also not a container that was told it is for development: the first deploy has marked the database."""
    for reason, *options in (
        ("APP_ENV is production",),
        ("it is marked as production", "--env", "APP_ENV=development"),
    ):
        arguments = ["run", "--rm", "--no-deps", *options, "migration", "reset", "--force"]
        answer = production.compose(*arguments, check=False)
        assert answer.code == 8
        assert f"kotobamichi is protected: {reason}. [production.protected]" in answer.output
    assert production.compose("run", "--rm", "--no-deps", "migration", "status").code == 0


def count(production: Stack, what: str) -> int:
    query = ["exec", "--no-TTY", "db", "psql", "-U", "kotobamichi", "-Atqc", f"SELECT count(*) FROM {what}"]
    return int(production.compose(*query).stdout)


def test_a_backup_comes_back_whole_or_not_at_all(production: Stack) -> None:
    production.wait_for_words()
    folder = production.files[0].parent / "backups"
    production.compose("run", "--rm", "backup")
    backup = max(folder.iterdir())
    refused = production.compose("run", "--rm", "restore", backup.name, check=False)
    assert refused.code == 8
    assert "The app is connected" in refused.output

    # Something that a later migration made, and a loss.
    sql = "CREATE TABLE made_later (id int); DELETE FROM words WHERE level = 'N5'"
    production.compose("exec", "--no-TTY", "db", "psql", "-U", "kotobamichi", "-qc", sql)
    production.compose("stop", "app")
    (folder / "broken.dump").write_bytes(backup.read_bytes()[:-2000])
    assert production.compose("run", "--rm", "restore", "broken.dump", check=False).code != 0
    assert 0 < count(production, "words") < WORDS
    assert count(production, "pg_tables WHERE tablename = 'made_later'") == 1

    production.compose("run", "--rm", "restore", backup.name)
    assert count(production, "words") == WORDS
    assert count(production, "pg_tables WHERE tablename = 'made_later'") == 0
    production.compose("start", "app")
    production.wait_until_ready()
    assert production.compose("run", "--rm", "--no-deps", "migration", "status").code == 0


def test_a_restore_names_what_it_needs(production: Stack) -> None:
    answer = production.compose("run", "--rm", "restore", check=False)
    assert "Name a file of the backup folder." in answer.output


def secrets_of(folder: Path) -> dict[str, tuple[int, str]]:
    return {path.name: (path.stat().st_mode & 0o777, path.read_text()) for path in folder.iterdir()}


def test_the_first_start_on_a_server_needs_the_image_and_one_file(tag: str, tmp_path: Path) -> None:
    """The lines at the top of the file: secrets from the image, then `up`."""
    file = Path(shutil.copy(FILE, tmp_path))
    init = ["run", "--rm", "--user", "1234:1234", "--volume", f"{tmp_path}:/here", f"kotobamichi:{tag}", "init"]
    os.chown(tmp_path, 1234, 1234)
    tmp_path.chmod(0o755)
    answer = docker(*init, "/here/secrets")
    assert answer.stdout.count(": written") == 3
    made = secrets_of(tmp_path / "secrets")
    assert {name: mode for name, (mode, _) in made.items()} == {
        "database_password": 0o444, "jwt_secret": 0o444, "smtp_password": 0o644,
    }  # fmt: skip
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    docker(*init, "/here/secrets")
    assert secrets_of(tmp_path / "secrets") == made
    with running(Stack([file], settings(tag) | {"VOCABULARY": "none"})) as stack:
        stack.up()
        stack.wait_until_ready()


def test_the_line_that_needs_no_image_writes_the_same_files(tmp_path: Path) -> None:
    line = next(line for line in FILE.read_text().splitlines() if "openssl" in line).removeprefix("#")
    subprocess.run(["sh", "-euc", line], cwd=tmp_path, check=True)
    made = secrets_of(tmp_path / "secrets")
    assert set(made) == {"database_password", "jwt_secret", "smtp_password"}
    assert {mode for mode, _ in made.values()} == {0o444}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(made["jwt_secret"][1]) > 64
    assert made["smtp_password"][1] == ""


def test_a_backup_can_be_read(production: Stack) -> None:
    folder = production.files[0].parent / "backups"
    answer = production.compose("run", "--rm", "backup")
    assert "bytes" in answer.stdout
    backups = sorted(path for path in folder.iterdir() if path.name.startswith("kotobamichi"))
    assert {path.suffix for path in backups} == {".dump"}
    listing = docker(
        "run", "--rm", "--volume", f"{folder}:/backups:ro", "--entrypoint", "pg_restore", "postgres:17",
        "--list", f"/backups/{backups[-1].name}",
    ).stdout  # fmt: skip
    assert "TABLE DATA public words" in listing
    assert "TABLE DATA public _michi_ledger" in listing


def test_a_managed_database_takes_the_place_of_the_one_in_a_container(tmp_path: Path) -> None:
    file = install(tmp_path)
    shutil.copy(ROOT / "deploy/docker-compose.managed.yml", tmp_path)
    stack = Stack([file, tmp_path / "docker-compose.managed.yml"], dict.fromkeys(REQUIRED, "x"))
    config = json.loads(stack.compose("config", "--format", "json").stdout)
    assert set(config["services"]) == {"app", "migration"}
    for name, user in (("migration", "kotobamichi_owner"), ("app", "kotobamichi_app")):
        service = config["services"][name]
        assert "db" not in service.get("depends_on", {})
        assert service["environment"]["DATABASE_USER"] == user
        assert service["environment"]["DATABASE_SSLMODE"] == "verify-full"
        assert "frontend" in service["networks"]
    sources = {secret["target"]: secret["source"] for secret in config["services"]["app"]["secrets"]}
    assert sources["database_password"] == "app_password"


def test_every_setting_of_the_app_is_in_the_example_and_reaches_the_container() -> None:
    """Whatever settings.py reads, Compose passes on: a setting that is nowhere in the files would be set in vain."""
    source = (ROOT / "src/kotobamichi/settings.py").read_text()
    ours = {"HOST", "KOTOBAMICHI_DATA", "KOTOBAMICHI_SHARED_MEMORY", "MICHI_MIGRATIONS"}
    names = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source)) - ours
    names -= {name for name in names if name.startswith(("DATABASE_", "MIGRATION_"))}
    example = (ROOT / ".env.example").read_text()
    for file in (FILE, ROOT / "docker-compose.yml"):
        text = file.read_text()
        missing = {name for name in names if not re.search(rf"^      {name}(_FILE)?:", text, re.MULTILINE)}
        assert missing - {"APP_ENV", "PORT", "COOKIE_SECURE", "IMPORT_FOLDER"} == set(), file.name
    unexplained = {name for name in names if name not in example}
    assert unexplained <= {"APP_ENV", "COOKIE_SECURE", "IMPORT_FOLDER"}
