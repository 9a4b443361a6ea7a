"""Whose a project is, and becoming that account: the engine and all of its files are the owner's."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from engine.client.starter import LaunchError
from engine.paths import EnginePaths
from engine.project_folder import who_may_replace


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a folder is. ``of_project``: of a project, not of a folder that could become one."""

    uid: int
    gid: int
    of_project: bool


def owner_of(paths: EnginePaths) -> Owner:
    """Whose the project is: whoever owns its private folder, or the folder itself where there is none yet.

    Raises:
        LaunchError: There is no such folder, or no looking into it.
    """
    try:
        str(paths.project).encode()
    except UnicodeEncodeError:
        sentence = f"{paths.project} cannot be a project: its path is not UTF-8."
        raise LaunchError(sentence, "Rename that folder.", exit_code=2) from None
    try:
        folder = paths.project.stat()
        with contextlib.suppress(FileNotFoundError):
            private = paths.home.lstat()
            if not stat.S_ISDIR(private.st_mode):
                raise LaunchError(f"{paths.home} is not a folder.", "Move it away and try again.", exit_code=2)
            return Owner(private.st_uid, private.st_gid, of_project=True)
    except PermissionError:
        raise LaunchError(f"This account may not look into {paths.project}.", exit_code=4) from None
    except OSError as error:
        raise LaunchError(f"{paths.project} cannot be a project: {error.strerror}.", exit_code=2) from None
    return Owner(folder.st_uid, folder.st_gid, of_project=False)


def other_account(paths: EnginePaths) -> str | None:
    """Return the name of the account that this process would go on as; None if it stays who it is.

    Raises:
        LaunchError: There is no such folder, or no looking into it.
    """
    owner = owner_of(paths)
    return account_name(owner.uid) if os.geteuid() == 0 != owner.uid else None


def become_owner(paths: EnginePaths, *, become: bool = True) -> None:
    """Go on only as the account that owns the project: root becomes it, everybody else is told whom to ask.

    A folder that is no project yet would become one of its own owner. Without ``become`` root stays root, too: nobody
    named this project, and whoever may write to the folder around it may have exchanged it since it was found.

    Raises:
        LaunchError: The project is another account's, or root's own where others could exchange it, or its owner cannot
            use this Python.
    """
    owner = owner_to_become(paths, become=become)
    if owner is not None:
        _become(owner.uid, owner.gid)


def owner_to_become(paths: EnginePaths, *, become: bool = True) -> Owner | None:
    """Return whom ``become_owner`` would become; None if this process stays who it is. Changes nothing.

    Raises:
        LaunchError: As of ``become_owner``.
    """
    owner = owner_of(paths)
    if owner.uid == os.geteuid():
        if owner.uid == 0:
            _refuse_reach_of_others(paths)
        return None
    if os.geteuid() == 0 and become:
        if (closed := closed_to(owner)) is not None:
            raise LaunchError(
                f"{account_name(owner.uid)} cannot use the Python at {sys.executable}: {closed} is closed to it.",
                "Install Gatewright where all accounts can read it, such as in /opt/gatewright with /usr/bin/python3.",
                exit_code=4,
            )
        return owner
    if owner.of_project:
        raise LaunchError(
            f"This project belongs to {account_name(owner.uid)}; other accounts have no access to it.",
            f"Ask {account_name(owner.uid)}, or make a project of your own: gatewright init FOLDER",
            exit_code=4,
        )
    raise LaunchError(
        f"The folder {paths.project} belongs to {account_name(owner.uid)} and is no project.",
        "Use a folder of your own.",
        exit_code=4,
    )


def _refuse_reach_of_others(paths: EnginePaths) -> None:
    """Refuse root's own project where another account could exchange it: that account would be root."""
    try:
        reason = who_may_replace(paths.project, 0)
    except OSError as error:
        raise LaunchError(f"{paths.project} cannot be a project: {error.strerror}.", exit_code=2) from None
    if reason is not None:
        raise LaunchError(
            f"Root works in no project that others could exchange: {reason}.",
            "Move it to a folder that only root may change, or give it to the account that is to work in it.",
            exit_code=4,
        )


def closed_to(owner: Owner, also: Sequence[tuple[str, int]] = ()) -> str | None:
    """Return what of this Python, its library and these packages the account may not read; None if it reads all.

    Asked of the kernel by a child that has become the account, since groups, access lists and mounts count, too: this
    process could not go back. An account that cannot read them ends in the middle of an import.

    Args:
        owner: The account.
        also: Further paths, with the access that is needed (access(2)).
    """
    needed = [*_needed(), *also]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = len(needed)
        try:
            _become(owner.uid, owner.gid)
            answer = next((number for number, (path, mode) in enumerate(needed) if not os.access(path, mode)), answer)
            os.write(writing, b"%d" % answer)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        number = int(answers.read() or len(needed))
    os.waitpid(child, 0)
    return needed[number][0] if number < len(needed) else None


def _needed() -> Iterator[tuple[str, int]]:
    """What a process of this program executes and reads, a file of each place, with the access that it needs."""
    library = os.path.dirname(os.__file__)
    yield sys.executable, os.X_OK
    for file in (os.__file__, os.path.join(library, "encodings", "__init__.py"), __file__, msgspec.__file__):
        yield file, os.R_OK
    if os.path.isdir(compiled := os.path.join(library, "lib-dynload")):
        yield compiled, os.R_OK | os.X_OK


def _become(uid: int, gid: int) -> None:
    """Drop to another account for good: groups first, the uid last (setuid(2) takes the right to change the others)."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        home, name = "/", str(uid)
        os.setgroups([])
    else:
        home, name, gid = account.pw_dir, account.pw_name, account.pw_gid
        os.initgroups(name, gid)
    os.setgid(gid)
    os.setuid(uid)
    os.environ.update(HOME=home, USER=name, LOGNAME=name)
    for variable in [key for key in os.environ if key.startswith(("XDG_", "DBUS_", "SSH_AUTH"))]:
        del os.environ[variable]


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
