"""Other releases than this one: images of an older source, folders of migrations that a later release would have."""

from __future__ import annotations

import shutil
from pathlib import Path

from michi.folder import read_folder, write_sum
from tests.containers.compose import ROOT

MIGRATIONS = ROOT / "src/kotobamichi/migrations"
CONTEXT = (
    "LICENSE", "Dockerfile", "Dockerfile.migration", ".dockerignore", "docker-compose.yml", "requirements/image.txt",
    "requirements/michi.txt", "scripts/image_facts.py", "src/kotobamichi", "src/michi",
)  # fmt: skip


def names() -> list[str]:
    return [migration.name for migration in read_folder(MIGRATIONS).migrations]


def previous_source(folder: Path) -> Path:
    """The source as it was before its last migration came."""
    for name in CONTEXT:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    migrations = folder / "src/kotobamichi/migrations"
    shutil.rmtree(migrations / names()[-1])
    write_sum(read_folder(migrations))
    return folder


def later_migrations(folder: Path, **scripts: str) -> Path:
    """This release's migrations and more; readable by a container that is another user."""
    migrations = folder / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    for name, script in scripts.items():
        (migrations / name.lstrip("_")).mkdir()
        (migrations / name.lstrip("_") / "up.sql").write_text(script)
    write_sum(read_folder(migrations))
    folder.chmod(0o755)
    return migrations


def with_migrations(folder: Path) -> Path:
    """A Compose file that lays the folder over the migration image's own."""
    file = folder.parent / "migrations.yml"
    file.write_text(f"services: {{migration: {{volumes: ['{folder}:/app/migrations:ro']}}}}\n")
    return file
