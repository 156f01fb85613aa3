"""Which client a request is from: the address that its share of the limits belongs to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What was worked out before, for so many pairs of peer and header.
MOST_REMEMBERED = 10_000
WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+|\[([^\]]+)\](?::\d+)?")
# Whoever has one address of IPv6 has the 2^64 beside it, too.
IPV6_PREFIX = 64
MOST_HOPS = 20


class Clients:
    """Believes X-Forwarded-For as far as those who wrote it are trusted: from the right, hop by hop."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self.trusted = tuple(trusted_proxies)
        self.known: dict[tuple[str, bytes], str] = {}
        self.peers: dict[str, bool] = {}

    def trusts(self, peer: str) -> bool:
        """Whether what this peer says of others counts."""
        if not self.trusted:
            return False
        known = self.peers.get(peer)
        if known is None:
            if len(self.peers) >= MOST_REMEMBERED:
                self.peers.clear()
            address = parse(peer)
            known = self.peers[peer] = address is not None and self._is_trusted(address)
        return known

    def name(self, peer: str, forwarded: bytes) -> str:
        """The client's address, or its network where it is IPv6. `forwarded` is the header as it came, and may be junk."""
        key = (peer, forwarded)
        known = self.known.get(key)
        if known is None:
            if len(self.known) >= MOST_REMEMBERED:
                self.known.clear()
            known = self.known[key] = self._name(peer, forwarded)
        return known

    def _name(self, peer: str, forwarded: bytes) -> str:
        address = parse(peer)
        if address is None:
            return "unknown"
        for text in reversed(forwarded.decode("latin-1").split(",")[-MOST_HOPS:]):
            if not self._is_trusted(address):
                break
            hop = parse(text.strip())
            if hop is None:
                break
            address = hop
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
        return str(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.trusted)


def parse(text: str) -> Address | None:
    """An address, with or without a port; IPv4 inside IPv6 is IPv4. None for anything else."""
    if match := WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
