"""Makes the secrets that a server needs before its first start: files with the right modes, each written once and never again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kotobamichi.errors import StartRefused

GENERATED = ("database_password", "jwt_secret")
# Whoever runs the mail server makes this one up. It is there, empty, because Compose mounts no file that is not.
EMPTY = ("smtp_password",)
# Compose mounts a secret's file as it is, and the containers' accounts are not the operator's: the files are readable by all, the
# folder by its owner alone, so on the server nobody else gets to them.
FOLDER_MODE = 0o700
FILE_MODE = 0o444
# Without a password a mail server may still be right, so this file is written by hand.
EDITABLE_MODE = 0o644


@dataclass(frozen=True)
class Secrets:
    """What became of a folder: the names that were written, and those that were there and stayed as they were."""

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]


def write_secrets(folder: Path, make_secret: Callable[[], str]) -> Secrets:
    """Writes what is missing; a file that exists is never touched, whatever is in it.

    Raises StartRefused where the folder cannot be made or written, or where others may enter it.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True)
    except FileExistsError:
        _refuse_open_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from None
    written: list[str] = []
    kept: list[str] = []
    for name in (*GENERATED, *EMPTY):
        content, mode = (make_secret() + "\n", FILE_MODE) if name in GENERATED else ("", EDITABLE_MODE)
        (written if _write_once(folder / name, content, mode) else kept).append(name)
    return Secrets(folder, tuple(written), tuple(kept))


def _write_once(path: Path, content: str, mode: int) -> bool:
    """Whether it was written. The open fails where something of that name is there, be it a link that leads nowhere."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
        os.fchmod(descriptor, mode)  # whatever the umask
    return True


def _refuse_open_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise StartRefused(f"{folder} is there and is no folder.", "Name another folder.")
    if folder.stat().st_mode & 0o077:
        raise StartRefused(
            f"Others on this machine may enter {folder}, and its files are readable by all.",
            f"Close it: chmod 700 {folder}",
        )


def _unwritable(folder: Path, error: OSError) -> StartRefused:
    return StartRefused(
        f"{folder} cannot be written: {error.strerror}.",
        "In a container, run as the owner of the mounted folder: docker run --user $(id -u):$(id -g) ...",
    )


def describe(secrets: Secrets) -> str:
    """For the operator: what was done with each file."""
    lines = [f"{secrets.folder / name}: written" for name in secrets.written]
    lines += [f"{secrets.folder / name}: kept as it is" for name in secrets.kept]
    return "\n".join(lines)
