"""Under which account PostgreSQL runs, which refuses to run as root: ours, or for root one that is not root to the server."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kotobamichi.errors import StartRefused

# What the kernel calls every user that a namespace does not know; nobody may be taken for that one.
OVERFLOW_ID = 65534


@dataclass(frozen=True)
class Account:
    """`prefix` goes before a command; `owner` is who its files must belong to, None for us.

    `peer` is the name that the server sees on our connections.
    """

    prefix: tuple[str, ...]
    owner: tuple[int, int] | None
    peer: str

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [*self.prefix, *arguments]

    def give(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner)


def server_account(cluster: Path | None = None) -> Account:
    """The account for a new cluster, or for the owner of one that exists.

    Root has a user namespace in which it is another user: files stay root's, and folders that only root may enter stay closed
    to everybody else. Where namespaces are forbidden, as in many containers, the server runs as `nobody` and keeps one right
    of root, to enter such folders.
    """
    if os.geteuid() != 0:
        return Account((), None, pwd.getpwuid(os.geteuid()).pw_name)
    owner = cluster.stat().st_uid if cluster is not None and cluster.exists() else 0
    stand_in = _namespace_user()
    if owner == 0 and stand_in is not None:
        return Account(_in_namespace(stand_in), None, stand_in.pw_name)
    if shutil.which("setpriv") is None:
        raise StartRefused(
            "As root, the embedded PostgreSQL needs the programs of util-linux.",
            "Install util-linux, or run as another user.",
        )
    try:
        account = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError:
        raise StartRefused(
            f"The cluster in {cluster} belongs to an unknown user.", "Give it to a user of this machine."
        ) from None
    identity = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    prefix = ("setpriv", *identity, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--")
    return Account(prefix, (account.pw_uid, account.pw_gid), "root")


def _in_namespace(user: pwd.struct_passwd) -> tuple[str, ...]:
    return ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")


@functools.cache
def _namespace_user() -> pwd.struct_passwd | None:
    """Whom root is inside the namespace: any user of this machine with a name. None where the kernel allows no namespace."""
    candidates = [user for user in pwd.getpwall() if user.pw_uid not in {0, OVERFLOW_ID}]
    if not candidates or shutil.which("unshare") is None:
        return None
    tried = subprocess.run([*_in_namespace(candidates[0]), "true"], capture_output=True, check=False)
    return candidates[0] if tried.returncode == 0 else None
