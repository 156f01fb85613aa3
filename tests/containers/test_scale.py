"""Three apps behind nginx, restarted one after the other under load."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from itertools import count

import httpx
import pytest

from tests.containers.compose import Stack, docker, inspect, wait_until
from tests.containers.conftest import IMAGES, running
from tests.containers.test_production import install, settings

APPS = 3
CLIENTS = 4
PER_MINUTE = 100
SCALE = {
    "COMPOSE_PROFILES": "scale",
    "APP_REPLICAS": str(APPS),
    "APP_PORT": "0",
    "REDIS_URL": "redis://redis:6379/0",
    "VOCABULARY": "none",
}


@dataclass
class Load:
    """Clients that ask without a pause, on connections of both kinds: some kept, some new.

    Each request comes for an address of its own, as from a proxy in front, or the rate limits would stop the load.
    """

    url: str
    addresses: Iterator[int] = field(default_factory=lambda: count(int(IPv4Address("198.18.0.1"))))
    answers: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, keep: bool) -> None:
        with httpx.Client(timeout=30) as client:
            while not self.stop.is_set():
                headers = {"X-Forwarded-For": str(IPv4Address(next(self.addresses)))}
                try:
                    answer = (client.get if keep else partial(httpx.get, timeout=30))(self.url, headers=headers)
                    self.answers[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    self.answers[type(error).__name__] += 1

    def run(self) -> list[threading.Thread]:
        clients = [threading.Thread(target=self.ask, args=(number % 2 == 0,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        return clients


@pytest.fixture(scope="module")
def scaled(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("scaled")
    with running(Stack([install(folder)], settings(tag) | SCALE)) as stack:
        stack.up()
        yield stack


def apps(stack: Stack) -> list[str]:
    return stack.compose("ps", "--quiet", "app").stdout.split()


def front(stack: Stack) -> str:
    return f"http://{stack.compose('port', 'nginx', '8080').stdout.strip()}/v1"


def health(container: str) -> str:
    return str(inspect(container)["State"]["Health"]["Status"])


def test_three_apps_share_one_known_port(scaled: Stack) -> None:
    assert len(apps(scaled)) == APPS
    assert scaled.find_status(f"{front(scaled)}/health/ready") == 200
    published = [
        inspect(container)["NetworkSettings"]["Ports"]["3000/tcp"][0]["HostPort"] for container in apps(scaled)
    ]
    assert len(set(published)) == APPS


def test_nginx_and_redis_gave_up_what_the_others_did(scaled: Stack) -> None:
    for service in ("nginx", "redis"):
        host = scaled.inspect(service)["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
    assert not scaled.inspect("redis")["HostConfig"]["PortBindings"]
    assert scaled.is_healthy("redis")


def test_the_doctor_reaches_redis(scaled: Stack) -> None:
    answer = scaled.compose("exec", "--no-TTY", "app", "kotobamichi", "doctor")
    assert "✓ Redis     redis:6379, version " in answer.stdout


def test_the_three_count_a_client_s_requests_together(scaled: Stack) -> None:
    words = f"{front(scaled)}/words"
    with httpx.Client(timeout=30, headers={"X-Forwarded-For": "192.0.2.1"}) as client:
        answers = Counter(client.get(words).status_code for _ in range(PER_MINUTE + 50))
    assert answers == {200: PER_MINUTE, 429: 50}
    refused_by = [container for container in apps(scaled) if "status=429" in docker("logs", container).output]
    assert len(refused_by) == APPS
    assert httpx.get(words, headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 200


@contextmanager
def under_load(stack: Stack) -> Iterator[Load]:
    """Clients that ask all the time; afterwards every single answer must have been a good one."""
    load = Load(f"{front(stack)}/words?limit=3")
    clients = load.run()
    try:
        wait_until(lambda: load.answers["200"] > 50, "answers under load")
        yield load
        before = load.answers["200"]
        wait_until(lambda: load.answers["200"] > before + 50, "answers afterwards")
    finally:
        load.stop.set()
        for client in clients:
            client.join()
    print(dict(load.answers))
    assert set(load.answers) == {"200"}


def test_a_rolling_restart_under_load_fails_no_request(scaled: Stack) -> None:
    with under_load(scaled):
        for container in apps(scaled):
            docker("stop", "-t", "30", container)
            docker("start", container)
            wait_until(lambda it=container: health(it) == "healthy", "a healthy app")


def test_a_second_up_keeps_the_three(scaled: Stack) -> None:
    before = sorted(apps(scaled))
    scaled.up()
    assert sorted(apps(scaled)) == before


@pytest.fixture
def next_version(tag: str) -> Iterator[str]:
    name = f"{tag}.next"
    for image in IMAGES:
        docker("tag", f"{image}:{tag}", f"{image}:{name}")
    yield name
    docker("rmi", "--force", *(f"{image}:{name}" for image in IMAGES), check=False)


def test_an_upgrade_under_load_fails_no_request(scaled: Stack, next_version: str) -> None:
    """As the guide upgrades: migrations first, then as many new apps as there are old ones, then the old ones go, all at once."""
    old = apps(scaled)
    scaled.settings["KOTOBAMICHI_VERSION"] = next_version
    with under_load(scaled):
        scaled.compose("run", "--rm", "migration")
        scaled.up("migration")
        scaled.up("--no-recreate", "--scale", f"app={2 * APPS}", "--wait", "app")
        docker("stop", "-t", "30", *old)
        docker("rm", *old)
        new = apps(scaled)
        scaled.up()
    assert apps(scaled) == new
    assert len(new) == APPS
    assert {inspect(container)["Config"]["Image"] for container in new} == {f"kotobamichi:{next_version}"}
