"""What a deploy is told by whoever calls it. In a module of its own, so that a no-op deploy imports no more than this."""

from __future__ import annotations

from dataclasses import dataclass

from michi.folder import Phase


@dataclass(frozen=True)
class Options:
    """Seconds to wait for the deploy lock and for tables that others hold; what is applied, and in spite of what.

    `phase` None is both. `even_if_connected` applies a contract migration whatever apps are connected. `allow_unfinished` runs
    what an author has yet to complete: on a shadow, where no row is there to hold it.
    """

    lock_timeout_seconds: float = 60.0
    lock_retry_seconds: float = 60.0
    allow_out_of_order: bool = False
    phase: Phase | None = None
    even_if_connected: bool = False
    allow_unfinished: bool = False
