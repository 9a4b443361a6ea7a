"""Addresses that an engine may listen at over TCP."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import ConfigError, EngineSection, ListenSection, Settings
from engine.daemon.listening import Address, TcpPlace, bind, is_loopback, resolve
from engine.daemon.main import ServeOptions, idle_seconds


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:9089", "127.0.0.1", 9089, "127.0.0.1:9089"),
        ("localhost:0", "localhost", 0, "localhost:0"),
        (" gw-01.plant:443 ", "gw-01.plant", 443, "gw-01.plant:443"),
        ("[::1]:9089", "::1", 9089, "[::1]:9089"),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int, shown: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("9089", "must be HOST:PORT, not '9089'"),
        (":9089", "must be HOST:PORT, not ':9089'"),
        ("[]:9089", "must be HOST:PORT"),
        ("::1:9089", 'IPv6 takes brackets: "[::1]:9089".'),
        ("localhost:x", "must be HOST:PORT, not 'localhost:x'"),
        ("localhost:\u0663", "must be HOST:PORT"),
        ("localhost:65536", "must be HOST:PORT, not 'localhost:65536'"),
        ("localhost:-1", "must be HOST:PORT"),
    ],
)
def test_what_is_no_address_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Address.parse(text)
    assert sentence in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])
def test_only_loopback_is_bound_without_tls(host: str) -> None:
    with pytest.raises(ConfigError, match="without TLS"):
        bind(Address(host, 0), tls=False)


def test_a_name_counts_as_loopback_only_if_every_address_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("127.0.0.1", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *about, **more: found)
    with pytest.raises(ConfigError, match=r"does not listen at both\.example:0 without TLS"):
        bind(Address("both.example", 0), tls=False)


def test_a_name_that_leads_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*about: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(ConfigError, match=r"nowhere\.example cannot be resolved: Name or service not known"):
        bind(Address("nowhere.example", 0), tls=False)


def test_an_address_of_another_host_cannot_be_bound() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 is no address of this host"):
        bind(Address("192.0.2.1", 0), tls=True)


def test_every_address_of_a_name_is_bound_at_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *about, **more: found)
    bound = bind(Address("localhost", 0), tls=False)
    try:
        names = [sock.getsockname() for sock in bound]
        assert [ip for ip, _ in names] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in names}) == 1
        assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in bound)
    finally:
        for sock in bound:
            sock.close()


def test_localhost_is_loopback() -> None:
    assert all(is_loopback(ip) for _, ip in resolve(Address("localhost", 0)))


def test_settings_without_an_address_listen_nowhere() -> None:
    assert TcpPlace.bound(ListenSection()) is None
    with pytest.raises(ConfigError, match="no address to listen at"):
        TcpPlace.bound(ListenSection(tls_cert="/etc/ssl/gw.crt", tls_key="/etc/ssl/gw.key"))


def test_an_engine_that_others_expect_does_not_leave_when_idle(tmp_path: Path) -> None:
    settings = Settings(engine=EngineSection(idle_exit_minutes=2))
    started = ServeOptions(project=tmp_path, background=True)
    assert idle_seconds(started, settings, expected=False) == 120
    assert idle_seconds(started, settings, expected=True) == 0
    assert idle_seconds(replace(started, background=False), settings, expected=False) == 0
    assert idle_seconds(replace(started, idle_exit=5.0), settings, expected=True) == 5
