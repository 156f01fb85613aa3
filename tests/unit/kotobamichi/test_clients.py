"""Whose request it is: X-Forwarded-For counts as far as those who wrote it are trusted."""

from __future__ import annotations

import ipaddress

import pytest

from kotobamichi.clients import MOST_REMEMBERED, Clients

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.168.7.1/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a stranger says so
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # what the client itself put before it
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9, 192.168.7.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
        ("10.0.0.1", "junk, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ",,, ,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fd00::1", "2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("2001:db8::1", "198.51.100.1", "2001:db8::/64"),
        ("", "", "unknown"),
        ("10.0.0.1", ", ".join(["10.0.0.1"] * 10_000), "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_hop_that_nobody_vouches_for(peer: str, forwarded: str, client: str) -> None:
    clients = Clients(PROXIES)
    for _ in range(2):  # the second time from memory
        assert clients.name(peer, forwarded.encode()) == client


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    clients = Clients(())
    assert not clients.trusts("127.0.0.1")
    assert clients.name("127.0.0.1", b"198.51.100.1") == "127.0.0.1"


def test_what_is_remembered_is_bounded() -> None:
    clients = Clients(PROXIES)
    for number in range(MOST_REMEMBERED + 10):
        address = str(ipaddress.IPv4Address(number))
        assert clients.name("10.0.0.1", address.encode()) == address or address.startswith("10.")
        clients.trusts(address)
    assert len(clients.known) <= MOST_REMEMBERED
    assert len(clients.peers) <= MOST_REMEMBERED
