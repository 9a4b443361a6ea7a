"""Run uv: resolve requirements to a lock, install a lock into an empty environment. Nothing of a package is executed.

uv is a program of its own process group with an environment that is built here. Addresses with credentials reach it by
that alone, and whatever it prints is made fit to be read before anyone sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from engine.config import ConfigError, PackagesSection
from engine.paths import CACHE_SIZE
from engine.services.access import ServiceError
from engine.services.packages.lock import BadLock, Lock, without_credentials

NO_INDEX = "none"

ANSWER_WAIT = 20
"""Seconds that an index may take for the next part of an answer."""

TIDY = (("prune",), ("prune", "--ci"), ("clean",))
"""What removes more and more of the cache: what nothing refers to, unpacked wheels, everything."""

DISK_FULL = "disk_full"

LEFT_AFTER = 600.0
"""Seconds after which a folder that nothing works in was left: one that was just made is about to be used."""

LOOK_EVERY = 0.5
"""Seconds between two looks at the room on the disk."""

NICENESS = 10
LONGEST_LINE = 300
LONGEST_CAUSE = 8000
"""Characters of one that are looked at: what was wrong stands behind two paths."""

LONGEST_TOLD = 64 << 10
"""Characters of uv's output that are kept to find out what was wrong."""

LONGEST_LOGGED = 2000
"""Characters of it that the log gets when something is wrong."""

FROM_HERE = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""Variables of the engine's own environment that say how the network is reached."""

_OWN = Path(os.path.realpath(sys.executable))
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
_ALONG = """import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): os._exit(1)
if memory := int(sys.argv[2]): resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
os.execv(sys.argv[3], sys.argv[3:])
"""
_UNTOLD = re.compile(r"Using (CPython|Python)|warning: .*(--pylock|hardlink|link-mode)")
"""What uv says of its own ways."""

log = logging.getLogger(__name__)

Tell = Callable[[str], None]


class PythonProgram(Protocol):
    """An interpreter of this host."""

    @property
    def path(self) -> Path: ...

    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class BasePython:
    """An interpreter that an environment was made from."""

    path: Path
    version: str


class Uv:
    """uv as the settings want it used.

    Args:
        settings: Of the project.
        home: The folder that its cache is in, and everything else that it writes: ``.gatewright`` of a project.
        search: Where programs are looked for.

    Attributes:
        short: Says why there is too little room on the disk; asked while uv runs, blocks.

    Raises:
        ConfigError: The settings cannot be used.
    """

    def __init__(self, settings: PackagesSection, home: Path, search: str = "/usr/local/bin:/usr/bin:/bin") -> None:
        check_settings(settings)
        self.settings = settings
        self.bundled = home / "wheels"
        """The wheels of bundles that were installed: what can be had again without an index."""
        self._cache = home / "cache" / "uv"
        self._home = home / "cache" / "home"
        self._tidied = home / CACHE_SIZE
        self._search = search
        self.short: Callable[[], str | None] = lambda: None
        self._at_work = 0
        self._tidying: asyncio.Future[None] | None = None
        addresses = [settings.index, *settings.extra_indexes]
        self._secrets = [secret for address in addresses for secret in _secrets(address)]

    @property
    def has_index(self) -> bool:
        return self.settings.index != NO_INDEX or bool(self.settings.extra_indexes)

    async def lock(
        self,
        requirements: Sequence[str],
        python: PythonProgram,
        *,
        previous: Lock | None = None,
        upgrade: Collection[str] = (),
        tell: Tell | None = None,
    ) -> Lock:
        """Resolve checked requirements. A cancelled call ends uv first.

        Args:
            requirements: As ``checked_requirements`` returns them.
            python: For which the packages must be.
            previous: Versions to keep where they fit.
            upgrade: Names of packages of it that get the newest versions that fit.
            tell: Hears each line of what happens.

        Raises:
            ServiceError: There is no such set of packages, or it cannot be found out; the sentence says why.
        """
        if not requirements:
            return Lock()
        kept = Lock(tuple(each for each in previous.packages if each.name not in upgrade)) if previous else Lock()
        problem = None
        for source in self._sources():
            try:
                return await self._lock(requirements, python, kept, source, tell)
            except ServiceError as error:
                problem = error
                if error.code not in _NOT_THERE:
                    break
        raise problem or ServiceError(
            "no_index",
            "There is no package index, and no wheelhouse.",
            hint="Name one of them in the section [packages] of the project's settings.",
            status=422,
        )

    async def install(self, lock: Lock, prefix: Path, *, tell: Tell | None = None) -> None:
        """Put the packages of a lock into a virtual environment that has none. A cancelled call ends uv first.

        uv asks ``bin/python`` of that environment where packages belong; it is still the link that was made with it.

        Args:
            lock: Each of its files is compared with its hash.
            prefix: The environment's folder.
            tell: Hears each line of what happens.

        Raises:
            ServiceError: It is not complete; the sentence says why.
        """
        if not lock.packages:
            return
        await asyncio.to_thread(_check_there, lock)
        with self._workplace() as folder:
            file = folder / "pylock.toml"
            file.write_text(lock.text)
            arguments = ["pip", "install", "--preview-features", "pylock", "-r", str(file), "--link-mode", "copy"]
            arguments += ["--python", str(prefix / "bin" / "python")]
            if not any(each.source for each in lock.packages):
                arguments += ["--only-binary", ":all:"]
            offline = all(each.url.startswith("file:") for each in lock.packages)
            await self._run(arguments, {"UV_OFFLINE": "1"} if offline else self._indexes(), tell)
        await self._require_room()

    def fetched(self, lock: Lock) -> int:
        """Return how many packages of a lock are in the cache, as far as its layout is known. Blocks."""
        wanted = {each.name: each.version for each in lock.packages}
        found = set()
        for entry in self._cache.glob("wheels-v*/*/*/*/*"):
            if entry.suffix in (".http", ".rev") and entry.name.startswith(f"{wanted.get(entry.parent.name)}-"):
                found.add(entry.parent.name)
        return len(found)

    async def default_index(self) -> str:
        """Return the address of the index, with its credentials; empty if there is none."""
        if self.settings.index:
            return "" if self.settings.index == NO_INDEX else self.settings.index
        with self._workplace() as folder:
            arguments = ["pip", "compile", "-", "--emit-index-url", "--offline", "--no-header"]
            own = BasePython(_OWN, platform.python_version())
            arguments += ["--python", str(_asked_alone(own, folder / "python"))]
            answer = folder / "requirements.txt"
            await self._run([*arguments, "-o", str(answer)], {}, None)
            found = re.search(r"^--index-url (\S+)$", answer.read_text(), re.MULTILINE)
        return found[1] if found else ""

    async def tidy(self) -> None:
        """Remove what the cache does not need, and more of it while it takes more than the settings allow.

        Nothing waits for that: whatever else needs uv ends it, and a later call does it. So does a cancelled call.

        Raises:
            ServiceError: It could not be done.
            OSError: It could not be noted.
        """
        if not await asyncio.to_thread(self._untidy) or self._at_work or self._tidying is not None:
            return
        tidying = self._tidying = asyncio.ensure_future(self._tidy())
        try:
            await asyncio.wait([tidying])
        finally:
            await self._make_way()
        if not tidying.cancelled():
            tidying.result()

    def shown(self, text: str, longest: int = LONGEST_LINE) -> str:
        """Return a line of output as people may see it: no control characters, no credentials, not too long."""
        text = _ESCAPES.sub("", text)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _CREDENTIALS.sub("", text)
        text = "".join(each if each.isprintable() else " " for each in text).rstrip()
        return text if len(text) <= longest else f"{text[: longest - 1]}…"

    def _sources(self) -> Iterator[tuple[list[str], Mapping[str, str]]]:
        """Where packages are looked for: arguments and variables, in order."""
        houses = [self.settings.wheelhouse] if self.settings.wheelhouse else []
        houses += [str(self.bundled)] if self.bundled.is_dir() else []
        links = [argument for house in houses for argument in ("--find-links", house)]
        if houses:
            yield ["--no-index", *links], {"UV_OFFLINE": "1"}
        if self.has_index:
            yield links, self._indexes()

    def _indexes(self) -> dict[str, str]:
        settings = self.settings
        found = {"UV_INDEX": " ".join(settings.extra_indexes)} if settings.extra_indexes else {}
        if settings.index == NO_INDEX:  # what it would have is in none of the others
            return found | {"UV_DEFAULT_INDEX": settings.extra_indexes[-1]} if settings.extra_indexes else {}
        return found | ({"UV_DEFAULT_INDEX": settings.index} if settings.index else {})

    async def _lock(
        self,
        requirements: Sequence[str],
        python: PythonProgram,
        kept: Lock,
        source: tuple[list[str], Mapping[str, str]],
        tell: Tell | None,
    ) -> Lock:
        with self._workplace() as folder:
            file, asked = folder / "pylock.toml", folder / "requirements.in"
            asked.write_text("".join(f"{requirement}\n" for requirement in requirements))
            if kept.packages:
                file.write_text(kept.text)  # uv keeps the versions of the file that it writes, where they fit
            arguments = ["pip", "compile", str(asked), "-o", str(file), "--format", "pylock.toml", "--no-header"]
            arguments += ["--generate-hashes", "--python", str(_asked_alone(python, folder / "python"))]
            arguments += [] if self.settings.build else ["--only-binary", ":all:"]
            if self.settings.constraints:
                arguments += ["--constraints", self.settings.constraints]
            await self._run([*arguments, *source[0]], source[1], tell)
            text = file.read_text()
        try:
            return Lock.read(text, python.version, source=self.settings.build)
        except BadLock as bad:
            raise ServiceError("bad_lock", str(bad), status=422) from None

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[Path]:
        try:
            for folder in (self._cache, self._home):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix="work-", dir=self._home))
        except OSError as error:
            raise _disk_problem(error.strerror or str(error)) from None
        try:
            yield place
        except OSError as error:
            raise _disk_problem(error.strerror or str(error)) from None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _untidy(self) -> bool:
        """Return whether uv was used since the cache was tidied: each use changes a folder. Blocks."""
        try:
            used = self._home.stat().st_mtime_ns
        except OSError:
            return False
        try:
            return used > self._tidied.stat().st_mtime_ns
        except OSError:
            return True

    async def _tidy(self) -> None:
        await asyncio.to_thread(self._remove_workplaces)
        for arguments in TIDY:
            await self._to_end(["cache", *arguments], {"UV_OFFLINE": "1"}, None)
            size = await asyncio.to_thread(_size, self._cache)
            if size <= self.settings.cache_size:
                break
        await asyncio.to_thread(self._tidied.write_text, f"{size}\n")

    def _remove_workplaces(self) -> None:
        """Remove what an engine that was killed has left. Blocks."""
        for place in self._home.glob("work-*"):
            with contextlib.suppress(OSError):
                if time.time() - place.stat().st_mtime > LEFT_AFTER:
                    shutil.rmtree(place, ignore_errors=True)

    async def _make_way(self) -> None:
        """End the tidying of the cache, if it goes on."""
        if (tidying := self._tidying) is not None:
            tidying.cancel()
            await asyncio.wait([tidying])
            self._tidying = None

    async def _run(self, arguments: Sequence[str], variables: Mapping[str, str], tell: Tell | None) -> None:
        """Run uv to its end.

        Raises:
            ServiceError: It did not do what it was to.
        """
        self._at_work += 1
        try:
            await self._make_way()
            await self._while_there_is_room(self._to_end(arguments, variables, tell))
        except ServiceError as error:
            if error.code == DISK_FULL and self._at_work == 1:  # half of a wheel is of no use, and the rest can wait
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, self._cache, ignore_errors=True))
            raise
        finally:
            self._at_work -= 1

    async def _while_there_is_room(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what fetches or unpacks, but no longer than there is room: a small wheel can hold more than the disk.

        Raises:
            ServiceError: ``disk_full``, or what ``work`` raises.
        """
        doing = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([doing], timeout=LOOK_EVERY))[0]:
                await self._require_room()
        finally:
            doing.cancel()
            await asyncio.wait([doing])
        doing.result()

    async def _require_room(self) -> None:
        if (short := await asyncio.to_thread(self.short)) is not None:
            raise ServiceError(
                DISK_FULL,
                f"The packages take too much room: {short}. Nothing was changed.",
                hint="Free some room, then try again.",
                status=507,
            )

    async def _to_end(self, arguments: Sequence[str], variables: Mapping[str, str], tell: Tell | None) -> None:
        environment = self._environment() | dict(variables)
        told: list[str] = []
        failed = False
        try:
            async with asyncio.timeout(self.settings.timeout), _started(arguments, environment, self._home) as process:
                async for line in _lines(cast("asyncio.StreamReader", process.stderr)):
                    text = self.shown(line.decode("utf-8", "replace"), LONGEST_CAUSE)
                    if sum(map(len, told)) < LONGEST_TOLD:
                        told.append(text)
                    text = self.shown(text)
                    failed = failed or text.startswith(("error", "hint"))
                    if tell is not None and text and not failed and not _UNTOLD.match(text):
                        tell(text)
                code = await process.wait()
        except TimeoutError:
            raise ServiceError(
                "timeout",
                f"The packages were not there within {self.settings.timeout:g} s; nothing was changed.",
                hint="Try again, or raise packages.timeout in the project's settings.",
                status=504,
            ) from None
        if code < 0:
            raise ServiceError(
                "ended", "The installation was ended from outside; nothing was changed.", hint="Try again.", status=503
            )
        if code != 0:
            problem = problem_in("\n".join(told), self._where("--no-index" in arguments))
            log.info("packages (%s): %s", problem.code, " ".join(" ".join(told).split())[:LONGEST_LOGGED])
            raise problem

    def _where(self, offline: bool) -> str:
        if offline:
            return "in the wheelhouse" if self.settings.wheelhouse else "in the bundles that were installed"
        address = self.settings.index
        return f"at {urlsplit(without_credentials(address)).netloc}" if address not in ("", NO_INDEX) else ""

    def _environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in FROM_HERE if name in os.environ}
        return own | {
            "PATH": self._search,
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            "UV_SYSTEM_CERTS": "1",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "UV_CACHE_DIR": str(self._cache),
            "UV_HTTP_TIMEOUT": str(max(1, min(ANSWER_WAIT, int(self.settings.timeout)))),
            "UV_HTTP_RETRIES": "1",
            "UV_KEYRING_PROVIDER": "disabled",
            "NO_COLOR": "1",
        }


def check_settings(settings: PackagesSection) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        ConfigError: With the key.
    """
    index = settings.index
    if index not in ("", NO_INDEX) and (
        urlsplit(index).scheme not in ("http", "https") or not index.isprintable() or " " in index
    ):
        raise ConfigError(
            "packages.index in the settings is no address of a package index.",
            'It begins with "https://", or it is "none".',
        )
    for key, path in (("wheelhouse", settings.wheelhouse), ("constraints", settings.constraints)):
        if path and not path.startswith("/"):
            raise ConfigError(f"packages.{key} in the settings must be an absolute path, not {path!r}.")


@functools.cache
def uv_program() -> str:
    """Return the path of uv, which was installed together with the engine.

    Raises:
        ServiceError: It was not.
    """
    try:
        from uv import find_uv_bin  # only what changes packages needs it

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        raise ServiceError(
            "no_uv", "uv is not installed beside Gatewright.", hint="Install Gatewright again.", status=503
        ) from None


def _asked_alone(python: PythonProgram, prefix: Path) -> Path:
    """Return what uv may ask about an interpreter: an empty environment of it (PEP 405).

    The interpreter itself would run what its own packages have in their ``.pth`` files (site).
    """
    program = prefix / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to(python.path)
    (prefix / "pyvenv.cfg").write_text(f"home = {python.path.parent}\ninclude-system-site-packages = false\n")
    return program


def dies_along(program: str, *arguments: str, memory: int = 0) -> list[str]:
    """Return a command line of a program that the kernel ends together with this process (prctl(2), PR_SET_PDEATHSIG).

    Args:
        program: By its absolute path.
        arguments: Of it.
        memory: Bytes of address space that each of its processes may have (setrlimit(2)); 0: as many as it wants.
    """
    return [sys.executable, "-I", "-S", "-c", _ALONG, str(os.getpid()), str(memory), program, *arguments]


def give_way(pid: int) -> None:
    """Let everything else on the host go before a process that was just started."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def _check_there(lock: Lock) -> None:
    """Look whether the files of a lock that lie on this host still do. Blocks.

    Raises:
        ServiceError: They were moved or removed since.
    """
    gone = [each for each in lock.packages if each.url.startswith("file:") and not os.path.isfile(each.path)]
    if gone:
        files = ", ".join(each.file for each in gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        raise ServiceError(
            "no_wheel",
            f"{gone[0].origin} no longer has what the lock names: {files}. Nothing was installed.",
            hint="Put the files there again; or, if the wheelhouse has moved, have the packages chosen again from "
            "packages.wheelhouse in the settings: install them again, or refuse and approve the script again.",
            status=422,
        )


def _size(folder: Path) -> int:
    """Return the bytes on disk of all files in a folder. Blocks."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(place, name)).st_blocks * 512
    return total


@contextlib.asynccontextmanager
async def _started(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A uv that does not outlive the block, nor does anything that it started."""
    process = await asyncio.create_subprocess_exec(
        *dies_along(uv_program(), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    give_way(process.pid)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # one without an end
            continue
        if not line:
            return
        yield line


_NAME = r"`?([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?"
_NOT_THERE = frozenset({"unknown_package", "no_wheel", "conflict", "yanked", "other_python", "bad_lock", "no_version"})
"""Problems that another place for packages may not have."""

_SENTENCES: tuple[tuple[str, str, str, str, int], ...] = (
    (
        r"No space left on device|os error 28\b|Disk quota exceeded",
        DISK_FULL,
        "The disk is full; nothing was changed.",
        "Free some room, then try again.",
        507,
    ),
    (
        rf"(?:Hash|Size) mismatch for {_NAME}==([^\s`:]+)",
        "hash_mismatch",
        "The file of {1} {2} is not the one that the lock names: its hash or size is another. Nothing was installed.",
        "Ask who runs the package index; do not install it from there.",
        422,
    ),
    (
        r"401 Unauthorized|403 Forbidden|lack of valid authentication",
        "index_refused",
        "The package index{where} refuses this project's credentials.",
        "Correct packages.index in the project's settings.",
        502,
    ),
    (
        rf"Because (?:only )?{_NAME}(?:[<>=!~][^\s]*)? was yanked \(reason: ([^)]*)\)",
        "yanked",
        "{1} cannot be installed: the version that fits was withdrawn by those who made it ({2}).",
        "Name another version, or that one exactly (NAME==VERSION) if you want it all the same.",
        422,
    ),
    (
        rf"{_NAME} was not found in",
        "unknown_package",
        "There is no package {1}{where}.",
        "Look at its name, and at where packages come from: [packages] in the settings.",
        422,
    ),
    (
        rf"{_NAME}(?:[<>=!~][^\s]*)?(?: `?\1[<>=!~][^\s]*)* ha(?:s|ve) no (?:usable )?wheels",
        "no_wheel",
        "No version of {1} that was asked for has a wheel for this Python on this platform.",
        "Nothing is built from source: try another version or another Python, or put a wheel into the wheelhouse.",
        422,
    ),
    (
        rf"Python version \([^)]*\) does not satisfy Python([^\s]*)(?: and {_NAME})?",
        "other_python",
        "These packages need Python {1}.",
        "Use another interpreter for the environment: gatewright python use VERSION",
        422,
    ),
    (
        rf"there (?:is no version|are no versions) of {_NAME}([^\s,`]*)",
        "no_version",
        "There is no {1}{2}{where}.",
        "Look at its versions: gatewright packages search {1}",
        422,
    ),
    (
        r"timed out|error sending request|dns error|Connection refused|tcp connect|etwork is unreachable",
        "index_unreachable",
        "The package index{where} does not answer; nothing was changed.",
        "Look at packages.index in the project's settings, or use a wheelhouse.",
        504,
    ),
    (
        r"Scripts must not use the reserved name `([^`]*)`",
        "hostile_package",
        "A package wants to put a program of its own in the place of {1}. Nothing was installed.",
        "Do not use it.",
        422,
    ),
    (
        rf"{_NAME}==([^\s`]+) has (?:an )?invalid (?:package format|metadata)",
        "bad_package",
        "{1} {2} cannot be installed: its file is damaged, or is no wheel of that package.",
        "Try another version of it, or tell those who run the package index.",
        422,
    ),
    (
        rf"Package {_NAME}`? was included as a URL dependency",
        "bad_package",
        "A package wants {1} from an address of its own, and packages come from the index and the wheelhouse alone.",
        "Try another version of it.",
        422,
    ),
    (
        rf"Failed to (?:download|install|extract|read)[^`]*?`?\(?{_NAME}==([^\s`):]+)",
        "bad_package",
        "{1} {2} cannot be installed: its file is damaged, or is not made as a wheel must be. Nothing was installed.",
        "Try another version of it, or tell those who run the package index.",
        422,
    ),
    (
        r"unexpected (?:JSON|HTML) from|Unsupported Content-Type|is not a valid HTTP URI|HTTP status",
        "index_broken",
        "The package index{where} does not answer as one does; nothing was changed.",
        "Look at packages.index in the project's settings: it is the address of an index's pages, often .../simple/.",
        502,
    ),
)


def problem_in(output: str, where: str = "") -> ServiceError:
    """Return what uv's output says was wrong, as a sentence with what to do.

    Args:
        output: Of uv, already fit to be shown.
        where: The packages were looked for, such as "at HOST".
    """
    flat = " ".join(output.split())
    for pattern, code, sentence, hint, status in _SENTENCES:
        if (found := re.search(pattern, flat)) is not None:
            words = [group or "" for group in (found[0], *found.groups())]
            return ServiceError(
                code,
                sentence.format(*words, where=f" {where}" if where else ""),
                hint=hint.format(*words),
                status=status,
            )
    if (found := re.search(r"Because (.*?)(?: hint: |$)", flat)) is not None:
        return ServiceError(
            "conflict", f"These packages do not go together: {_shortened(found[1])}",
            hint="Ask for other versions, or leave one of them out.", status=422,
        )  # fmt: skip
    reason = re.search(r"error: (.*)", flat)
    told = _shortened(reason[1].replace(" cause: ", ": ")) if reason else "uv ended without a reason."
    return ServiceError("packages", f"The packages could not be installed: {told}", status=422)


def _shortened(text: str) -> str:
    text = text.replace("we can conclude that ", "so ").replace("`", "")
    text = text if len(text) <= 500 else f"{text[:499]}…"
    return text if text.endswith((".", "…")) else f"{text}."


def _disk_problem(reason: str) -> ServiceError:
    return ServiceError(
        "disk", f"The project's disk cannot be written to: {reason}. Nothing was changed.",
        hint="Free some room, then try again.", status=507,
    )  # fmt: skip


def login(address: str) -> tuple[str, str] | None:
    """Return the name and the password in an address, to be sent beside it: what asks writes addresses to the log."""
    parts = urlsplit(address)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _secrets(address: str) -> Iterator[str]:
    parts = urlsplit(address)
    for secret in (parts.password, parts.username):
        if secret and len(secret) >= 3:
            yield from dict.fromkeys((secret, unquote(secret)))
