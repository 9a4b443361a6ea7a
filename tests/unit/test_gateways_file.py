"""A user's file of gateways: what is taken of it, what is refused and how, and changing it as text."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from api_support import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from ordinary_user import UID, Forked, own_folder

import tui
from engine.client import gateways
from engine.client.gateways import EVERY, NAME_FORM, Gateway, Gateways, settings_file
from engine.client.launch import LocalTarget
from engine.client.remote import RemoteTarget
from engine.client.shared import SharedTarget
from engine.client.socket_target import SocketTarget
from engine.client.starter import LaunchError, daemon_environment
from engine.registry.engine import POOL_INFO

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other accounts")

WHOLE = """\
# the plant's

[gateways.gw-01]
url = "https://gw-01:9089"
token_file = "~/gw-01.token"
ca_file = "/etc/pki/plant-ca.pem"
groups = ["plant-b", "pumps"]

# the one beside the boiler
[gateways."gw.02"]  # slow
socket = "~/gw-02.sock"
groups = ["plant-b"]

[gateways.here]
project = "/srv/plant-a"

[gateways.shared]
project = "@plant-a"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "gateways.toml"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return file


def refusal(work: Callable[[], object]) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        work()
    assert caught.value.message.endswith(".")
    return caught.value


def test_each_kind_of_place_becomes_its_target(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    gateways = Gateways.load(write(file, WHOLE))
    assert list(gateways.by_name) == ["gw-01", "gw.02", "here", "shared"]
    remote = gateways.get("gw-01").target()
    assert isinstance(remote, RemoteTarget)
    assert (remote.url.base, remote.token_file) == ("https://gw-01:9089", tmp_path / "gw-01.token")
    assert remote.ca_file == Path("/etc/pki/plant-ca.pem")
    forwarded = gateways.get("gw.02").target()
    assert forwarded == SocketTarget(tmp_path / "gw-02.sock", "gw.02")
    shared = gateways.get("shared").target()
    assert isinstance(shared, SharedTarget)
    assert shared.id == "plant-a"
    (tmp_path / "plant/.gatewright").mkdir(parents=True)
    local = Gateway("here", project=str(tmp_path / "plant")).target()
    assert local == LocalTarget(tmp_path / "plant", become=True)
    assert refusal(Gateway("here", project=str(tmp_path)).target).message.startswith("There is no project in")


def test_the_file_is_in_the_users_settings_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert settings_file() == tmp_path / "xdg/gatewright/gateways.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_file() == tmp_path / ".config/gatewright/gateways.toml"
    assert Gateways.load().by_name == {}


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("[gateways.a", "is no valid TOML", "gatewright help gateways"),
        ("[gatways.a]\nurl = 'https://a'", "'gatways' is not known", "[gateways.NAME]"),
        ("gateways = 3", "gateways is no table", ""),
        ("[gateways]\na = 3", "gateways.a is no table", ""),
        ("[gateways.a]\nulr = 'https://a'", "[gateways.a]: 'ulr' is not known", "Did you mean url? Known are url,"),
        ("[gateways.a]\nurl = 3", "[gateways.a]: url is no line of text", ""),
        ("[gateways.a]\nurl = ' '", "[gateways.a]: url is no line of text", ""),
        ("[gateways.a]\nurl = 'https://a'", "[gateways.a]: the engine at https://a takes a token", "token_file"),
        ("[gateways.a]", "[gateways.a] does not say where", "one of url, project, socket"),
        ("[gateways.a]\nproject = '@a'\nsocket = '/a'", "names project and socket", ""),
        ("[gateways.a]\nproject = '@a'\ntoken_file = '/a'", "token_file belongs to a url", ""),
        ("[gateways.a]\nproject = '/a'\nca_file = '/a'", "ca_file belongs to a url", ""),
        ("[gateways.a]\nsocket = 'a.sock'", "socket is no whole path", "begins with / or ~/"),
        ("[gateways.a]\nproject = 'plant'", "project is no whole path", ""),
        ("[gateways.a]\nurl = 'https://a'\ntoken_file = 't'", "token_file is no whole path", ""),
        ("[gateways.a]\nproject = '@a'\ngroups = 'b'", "groups is no list", ""),
        ("[gateways.a]\nproject = '@a'\ngroups = ['@b']", "'@b' cannot be the name of a group", "without @"),
        ("[gateways.a]\nproject = '@a'\ngroups = ['all']", "'all' cannot be the name of a group", "every gateway"),
        ("[gateways.'a,b']\nproject = '@a'", "'a,b' cannot be the name of a gateway", ""),
        ("[gateways.'@a']\nproject = '@a'", "'@a' cannot be the name of a gateway", ""),
        ('[gateways.a]\nproject = "@a\\u001b[2J"', "project is no line of text", ""),
        ("[gateways.a]\nproject = '@a'\n[gateways.a]\nproject = '@b'", "is no valid TOML", ""),
        ("[gateways]\na = " + "[" * 20_000 + "]" * 20_000, "holds what no list of gateways has", "gatewright help"),
        ("[gateways]\na = " + "1" * 5_000, "holds what no list of gateways has", "gatewright help gateways"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: Path, text: str, sentence: str, hint: str) -> None:
    error = refusal(lambda: Gateways.load(write(file, text)))
    assert sentence in error.message
    assert str(file) in error.message
    assert hint in (error.hint or "")
    assert error.exit_code == 2


def test_a_gateway_that_is_not_there_is_told_with_the_nearest(file: Path) -> None:
    gateways = Gateways.load(write(file, WHOLE))
    error = refusal(lambda: gateways.get("gw-02"))
    assert error.message == f"There is no gateway 'gw-02' in {file}."
    assert (error.hint or "").startswith("Did you mean ")
    assert "gw-01" in (error.hint or "")
    assert "--on @plant-b" in (refusal(lambda: gateways.get("plant-b")).hint or "")
    none = refusal(lambda: Gateways.load(file.with_name("none.toml")).get("gw-02"))
    assert "names none yet" in none.message
    assert "gateways add gw-02" in (none.hint or "")


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("gw-01", "gw-01"),
        ("here, gw-01", "gw-01 here"),
        ("@plant-b", "gw-01 gw.02"),
        ("@plant-b,gw-01,here,@pumps", "gw-01 gw.02 here"),
        ("@all", "gw-01 gw.02 here shared"),
    ],
)
def test_several_are_chosen_each_once_in_the_order_of_the_file(file: Path, selection: str, names: str) -> None:
    chosen = Gateways.load(write(file, WHOLE)).chosen(selection)
    assert [gateway.name for gateway in chosen] == names.split()


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        ("gw-01,gw-9", "no gateway 'gw-9'"),
        ("@plant-x", "There is no group @plant-x"),
        ("@", "There is no group @"),
        ("", "No gateway is named."),
        (" , ", "No gateway is named."),
    ],
)
def test_a_selection_that_is_not_there_chooses_nothing(file: Path, selection: str, sentence: str) -> None:
    gateways = Gateways.load(write(file, WHOLE))
    assert sentence in refusal(lambda: gateways.chosen(selection)).message
    assert "There is no group @all" in refusal(lambda: Gateways(file, {}).chosen("@all")).message


def test_a_gateway_with_two_names_is_asked_once_and_that_is_told(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "plant")
    text = "".join(
        f"[gateways.{name}]\n{place}\n"
        for name, place in {
            "a": 'url = "https://gw-01"\ntoken_file = "~/t"',
            "again": 'url = "https://GW-01:443/"\ntoken_file = "~/x/../t"',
            "viewer": 'url = "https://gw-01"\ntoken_file = "~/viewer"',
            "other": 'url = "https://gw-01:9089"\ntoken_file = "~/t"',
            "here": f'project = "{tmp_path}/plant"',
            "linked": f'project = "{tmp_path}/link"',
            "shared": 'project = "@a"',
            "socket": f'socket = "{tmp_path}/a.sock"',
            "twin": f'socket = "{tmp_path}/./a.sock"',
        }.items()
    )
    told: list[str] = []
    asked = Gateways.load(write(file, text)).asked("@all", told.append)
    assert [one.name for one in asked] == ["a", "viewer", "other", "here", "shared", "socket"]
    assert [line.split(",")[0] for line in told] == [
        "again is another name of a", "linked is another name of here", "twin is another name of socket",
    ]  # fmt: skip


def test_a_file_that_others_may_write_is_not_used(file: Path) -> None:
    write(file, WHOLE).chmod(0o620)
    error = refusal(lambda: Gateways.load(file))
    assert "send your tokens anywhere" in error.message
    assert error.hint == f"Close it to them: chmod 600 {file}"
    file.chmod(0o644)
    assert Gateways.load(file).by_name


def test_what_is_no_file_or_no_text_is_refused_at_once(file: Path) -> None:
    file.parent.mkdir()
    os.mkfifo(file, 0o600)
    assert "no ordinary file" in refusal(lambda: Gateways.load(file)).message
    file.unlink()
    file.mkdir(mode=0o700)
    assert "ordinary file" in refusal(lambda: Gateways.load(file)).message
    file.rmdir()
    file.write_bytes(b"\xff")
    file.chmod(0o600)
    assert "is not UTF-8 (byte 0)" in refusal(lambda: Gateways.load(file)).message
    file.write_bytes(b"#" * ((1 << 20) + 1))
    assert "larger than 1 MiB" in refusal(lambda: Gateways.load(file)).message


@as_root
def test_a_file_of_another_account_is_not_used(file: Path) -> None:
    os.chown(write(file, WHOLE), UID, UID)
    assert "belongs to another account" in refusal(lambda: Gateways.load(file)).message


@as_root
def test_root_writes_nothing_into_the_folder_of_another_account(file: Path, tmp_path: Path) -> None:
    """As under sudo with the caller's HOME, who may have put a link there."""
    file.parent.mkdir()
    os.chown(file.parent, UID, UID)
    file.symlink_to(tmp_path / "elsewhere")
    error = refusal(lambda: Gateways(file, {}).add(Gateway("a", project="@a")))
    assert error.message == f"{file.parent} belongs to another account."
    assert not (tmp_path / "elsewhere").exists()


def test_the_first_gateway_makes_a_file_that_is_the_users_alone(file: Path) -> None:
    added = Gateway("gw-01", url="https://gw-01", token_file='/a "b" ü\\c', groups=("plant-b",))
    Gateways.load(file).add(added)
    assert Gateways.load(file).by_name == {"gw-01": added}
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_adding_and_removing_keep_comments_and_order(file: Path) -> None:
    gateways = Gateways.load(write(file, WHOLE))
    gateways.add(Gateway("gw.03", project="@b"))
    assert file.read_text() == WHOLE + '\n[gateways."gw.03"]\nproject = "@b"\n'
    gateways.remove("gw.03")
    assert file.read_text() == WHOLE
    gateways.remove("gw-01")
    assert file.read_text() == WHOLE.replace(WHOLE[WHOLE.index("[gateways.gw-01]") : WHOLE.index("# the one")], "")
    gateways.remove("gw.02")
    assert list(Gateways.load(file).by_name) == ["here", "shared"]


def test_a_file_that_is_a_link_stays_one(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    kept = write(tmp_path / "kept.toml", WHOLE)
    file.symlink_to(kept)
    Gateways.load(file).remove("here")
    assert file.is_symlink()
    assert "here" not in Gateways.load(kept).by_name


@pytest.mark.parametrize(
    ("gateway", "sentence"),
    [
        (Gateway("gw-01", project="@a"), "There is a gateway 'gw-01' already, at https://gw-01:9089."),
        (Gateway("a b", project="@a"), "'a b' cannot be the name of a gateway"),
        (Gateway("new"), "does not say where the gateway is"),
        (Gateway("new", project="@a\udc80"), "project is no line of text"),
        (Gateway("new", project="@a", groups=("a,b",)), "cannot be the name of a group"),
        (Gateway("new", url="https://a"), "takes a token"),
    ],
)
def test_what_cannot_be_added_changes_nothing(file: Path, gateway: Gateway, sentence: str) -> None:
    write(file, WHOLE)
    assert sentence in refusal(lambda: Gateways.load(file).add(gateway)).message
    assert file.read_text() == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        'gateways = {a = {project = "@a"}, b = {project = "@b"}}\n',
        'gateways.a.project = "@a"\n[gateways.b]\nproject = "@b"\n',
        '[gateways]\na = {project = "@a"}\n',
    ],
)
def test_a_file_that_is_written_in_another_way_is_left_alone(file: Path, text: str) -> None:
    gateways = Gateways.load(write(file, text))
    assert "a" in gateways.by_name
    assert "cannot change without harm" in refusal(lambda: gateways.remove("a")).message
    assert file.read_text() == text


def test_a_file_that_cannot_be_written_is_told(file: Path) -> None:
    file.parent.write_text("")
    error = refusal(lambda: Gateways(file, {}).add(Gateway("a", project="@a")))
    assert f"{file} cannot be written" in error.message


def test_what_is_added_at_the_same_time_is_all_there(file: Path) -> None:
    names = [f"gw-{number:02}" for number in range(12)]
    threads = [
        threading.Thread(target=lambda name=name: Gateways.load(file).add(Gateway(name, project="@a")))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(Gateways.load(file).by_name) == names


lines = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
group = st.from_regex(NAME_FORM, fullmatch=True).filter(lambda name: name != EVERY)
entries = st.builds(
    Gateway,
    name=st.from_regex(NAME_FORM, fullmatch=True),
    socket=lines.map(lambda text: f"/{text}"),
    groups=st.lists(group, max_size=3, unique=True).map(tuple),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(entries, max_size=4, unique_by=lambda one: one.name), entries)
def test_what_was_added_is_read_and_what_is_removed_leaves_the_rest(
    tmp_path_factory: pytest.TempPathFactory, others: list[Gateway], one: Gateway
) -> None:
    file = tmp_path_factory.mktemp("any") / "gateways.toml"
    others = [replace(other, name=f"{other.name[:60]}.{number}") for number, other in enumerate(others)]
    one = replace(one, name=f"{one.name[:60]}-x")
    for gateway in (*others[:2], one, *others[2:]):
        Gateways.load(file).add(gateway)
    assert Gateways.load(file).get(one.name) == one
    Gateways.load(file).remove(one.name)
    assert list(Gateways.load(file).by_name.values()) == others


def test_an_engine_never_hears_which_gateway_its_starter_meant() -> None:
    found = daemon_environment({"GATEWRIGHT_GATEWAY": "gw-01", "GATEWRIGHT_URL": "https://a", "GATEWRIGHT_X": "1"})
    assert {name for name in found if name.startswith("GATEWRIGHT")} == {"GATEWRIGHT_X"}


async def test_an_engine_is_reached_behind_a_socket(tmp_path: Path) -> None:
    async with serving(tmp_path / "project") as host:
        link = tmp_path / ("longer-than-an-address-" * 4) / "gw.sock"
        link.parent.mkdir()
        os.link(host.paths.socket, link)
        client = await SocketTarget(link, "gw-01").connect("cli")
        assert (await client.call(POOL_INFO)).size == 3
        await client.close()


async def test_a_socket_that_nothing_listens_at_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"

    async def said(words: str) -> LaunchError:
        with pytest.raises(LaunchError) as caught:
            await SocketTarget(path, "gw-01").connect("cli")
        assert words in caught.value.message
        return caught.value

    error = await said(f"Nothing listens at {path}.")
    assert "ssh -N -o StreamLocalBindUnlink=yes -L" in (error.hint or "")
    path.write_text("")
    assert (await said("is no socket")).exit_code == 2
    path.unlink()
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(path))
        assert (await said(f"Nothing listens at {path}.")).exit_code == 3


@as_root
async def test_nothing_is_sent_to_a_socket_of_another_account() -> None:
    """The peer must be the caller or root: here root calls, and an ordinary account listens."""
    ready, tell = os.pipe()

    def listen() -> bytes:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            os.write(tell, b"x")
            connection, _ = listener.accept()
            return connection.recv(100)

    with own_folder() as folder:
        path = folder / "gw.sock"
        child = Forked(listen)
        os.read(ready, 1)
        with pytest.raises(LaunchError) as caught:
            await SocketTarget(path, "gw-01").connect("cli")
        assert child.answer() == b""
    assert (caught.value.exit_code, "so nothing is sent there" in caught.value.message) == (4, True)
    assert f"belongs to uid {UID}" in (caught.value.hint or "")
    for end in (ready, tell):
        os.close(end)


def test_the_file_that_the_help_shows_is_understood(file: Path) -> None:
    page = (Path(tui.__file__).parent / "help/gateways.md").read_text()
    gateways = Gateways.load(write(file, page.partition("```toml gateways\n")[2].partition("```")[0]))
    assert [bool(one.url or one.socket or one.project) for one in gateways.by_name.values()] == [True] * 3
    assert list(gateways.groups) == ["plant-b"]
    keys = set(re.findall(r"^\| (\w+) \| (?!means)", page.partition("| key |")[2].partition("\n\n")[0], re.MULTILINE))
    assert keys == {field.name for field in fields(Gateway)} - {"name"}


def test_a_lock_that_is_never_given_back_is_not_waited_for_without_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "LOCK_PATIENCE", 0.05)
    write(file, WHOLE)
    holder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_SH)
        error = refusal(lambda: Gateways.load(file).remove("here"))
        assert "is locked by another command" in error.message
        assert file.read_text() == WHOLE
    finally:
        os.close(holder)
    Gateways.load(file).remove("here")
