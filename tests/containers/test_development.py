"""docker-compose.yml: the first start from nothing, the second start, and what goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.containers.compose import ROOT, WORDS, Stack, docker, inspect, wait_until

MIGRATIONS = ROOT / "src/kotobamichi/migrations"
BROKEN = "99991231235959_broken_on_purpose"


def test_the_first_start_needs_no_settings(development: Stack) -> None:
    migration = development.state("migration")
    assert (migration["Status"], migration["ExitCode"]) == ("exited", 0)
    assert "Applied" in development.logs("migration")
    wait_until(lambda: development.is_healthy("app"), "a healthy app")
    development.wait_until_ready()
    assert development.wait_for_words() == WORDS


def test_the_documentation_needs_no_other_host(development: Stack) -> None:
    page = development.get("/docs")
    assert page.status_code == 200
    assert "//cdn" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/docs/assets/{asset}" in page.text
        assert development.get(f"/docs/assets/{asset}").status_code == 200
    assert "/v1/words" in development.get("/docs/openapi.json").json()["paths"]


def test_the_database_is_open_to_this_machine_only(development: Stack) -> None:
    assert development.compose("port", "db", "5432").stdout.startswith("127.0.0.1:")
    assert development.compose("port", "app", "3000").stdout.startswith("127.0.0.1:")


def test_the_second_up_is_a_quick_no_op(development: Stack) -> None:
    app = development.container("app")
    runs = []
    for _ in range(3):
        development.up()
        assert development.state("migration")["ExitCode"] == 0
        runs.append(development.run_seconds("migration"))
    assert development.logs("migration").count("Nothing to do") == 3
    print(f"no-op migration container: {min(runs):.2f} s")
    # Where several programs wait for each processor, a wall clock tells of them and not of us.
    assert min(runs) < 1.0 or os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    assert development.container("app") == app
    assert development.state("app")["Running"]


def test_what_the_containers_gave_up_is_in_force(development: Stack) -> None:
    for service in ("app", "migration"):
        facts = development.inspect(service)
        assert facts["Config"]["User"] == "10001:10001"
        assert facts["HostConfig"]["ReadonlyRootfs"]
        assert facts["HostConfig"]["CapDrop"] == ["ALL"]
        assert facts["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    script = "id -u; grep -E 'CapEff|NoNewPrivs' /proc/1/status; touch /app/x"
    answer = development.compose("exec", "--no-TTY", "app", "sh", "-c", script, check=False)
    assert answer.stdout.split() == ["10001", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert "Read-only file system" in answer.stderr


def test_an_administrator_is_made_inside_the_container(development: Stack) -> None:
    answer = development.compose("exec", "--no-TTY", "app", "kotobamichi", "admin", "create")
    assert "shown only this once" in answer.stdout


def test_verbs_of_michi_run_in_the_migration_image(development: Stack) -> None:
    answer = development.compose("run", "--rm", "--no-deps", "migration", "status")
    assert "Up to date." in answer.stdout


def test_a_wrong_password_is_told_at_once_and_not_repeated(development: Stack) -> None:
    secret = "n0t-the-password"
    arguments = ["--rm", "--no-deps", "--env", f"DATABASE_PASSWORD={secret}", "migration"]
    answer = development.compose("run", *arguments, check=False)
    assert answer.code == 2
    assert "refused the login" in answer.output
    assert "[database.credentials]" in answer.output
    assert secret not in answer.output
    assert answer.seconds < 15


def test_stopping_takes_no_longer_than_the_requests_in_flight(development: Stack) -> None:
    answer = development.compose("stop", "app")
    assert development.state("app")["ExitCode"] == 0
    assert answer.seconds < 8
    development.compose("start", "app")
    development.wait_until_ready()
    assert development.get("/words?limit=1").json()["pagination"]["total"] == WORDS


def test_the_app_itself_waits_for_its_schema(new_stack: Callable[..., Stack]) -> None:
    """After a reboot the engine starts everything at once and nobody looks at depends_on."""
    stack = new_stack()
    stack.compose("create", "--no-build")
    app, migration, db = (stack.container(service) for service in ("app", "migration", "db"))

    docker("start", app)
    ready = stack.url("/health/ready")
    assert wait_until(lambda: stack.find_status(ready), "an answer") == 503
    assert httpx.get(ready, timeout=10).json()["database"] == "down"
    assert stack.get("/health").status_code == 200
    wait_until(lambda: "schema.awaited" in stack.logs("app"), "a line that says what the app waits for")
    docker("start", migration, db)
    stack.wait_until_ready()
    assert stack.get("/words?limit=1").status_code == 200  # ready is true of the next request
    assert "schema.ready" in stack.logs("app")
    assert stack.state("migration")["ExitCode"] == 0
    assert stack.wait_for_words() == WORDS

    # The power fails, and everything starts at once.
    docker("kill", app, db)
    docker("start", app, migration, db)
    stack.wait_until_ready()
    assert stack.wait_for_words() == WORDS
    assert stack.state("app")["Running"]
    assert stack.inspect("app")["RestartCount"] == 0


def test_a_failing_migration_keeps_the_app_from_starting_and_says_why(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "michi.sum").unlink()
    (folder / BROKEN).mkdir()
    (folder / BROKEN / "up.sql").write_text("CREATE TABLE half_done (id int);\nSELECT 1 / 0;\n")
    tmp_path.chmod(0o755)
    broken = tmp_path / "broken.yml"
    broken.write_text(f"services: {{migration: {{volumes: ['{folder}:/app/migrations:ro']}}}}\n")

    stack = new_stack()
    answer = stack.up(check=False, files=[broken])
    assert answer.code != 0
    assert 'service "migration" didn\'t complete successfully: exit 7' in answer.output
    assert stack.state("app")["Status"] == "created"
    logs = stack.logs("migration")
    assert f"{BROKEN}/up.sql:2" in logs
    assert "division by zero" in logs
    assert "22012" in logs

    # With the mistake out of the way the next start goes through: nothing has to be repaired by hand.
    stack.up()
    assert stack.state("migration")["ExitCode"] == 0
    stack.wait_until_ready()


def test_each_stack_has_its_own_network(development: Stack) -> None:
    networks = [
        set(development.inspect(service)["NetworkSettings"]["Networks"]) for service in ("db", "migration", "app")
    ]
    assert networks == [{f"{development.name}_default"}] * 3
    assert not inspect(f"{development.name}_default")["Internal"]
