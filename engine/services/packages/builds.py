"""Builds: virtual environments that are made once and never changed, and the names by which they are used.

``envs/builds/ID`` is a build; what it was made from is in its ``gatewright.json``, beside ``pyvenv.cfg``. ``envs/NAME``
is a symbolic link to one: pointing it elsewhere (rename(2)) is all that a finished installation changes. A build
without ``gatewright.json`` was never finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from engine.models.base import Model
from engine.models.packages import DEFAULT
from engine.pool.environment import environment_at, interpreter_version
from engine.pool.job import Environment
from engine.sandbox.interpreters import distrust
from engine.services.access import ServiceError
from engine.services.packages.installed import FoundDistribution, Installed, found_distributions
from engine.services.packages.lock import BadLock, Lock
from engine.services.packages.uv import PythonProgram, Tell, Uv, dies_along, give_way
from store import disk

BUILDS = "builds"
RECORD = "gatewright.json"
FORMAT = 1

COMPILE_WAIT = 600.0
"""Seconds for the compiling of all modules of a build."""

COMPILE_MEMORY = 2 << 30
"""Bytes of address space for one that compiles: a small file can be made to take as much as there is."""

COUNT_EVERY = 0.25
"""Seconds between two looks at how far a build is."""

FRESH = 60.0
"""Seconds after which a finished build must have a name or a claim, or be in use."""

Count = Callable[[str, int, int], None]
"""Takes what is being done, how far it is, and how much there is of it."""

_libc = ctypes.CDLL(None, use_errno=True)


class BuildRecord(Model, frozen=True):
    """What a build was made from."""

    format: int
    name: str
    """Of the environment that it was made for."""
    python: str
    """Path of the interpreter, resolved."""
    version: str
    """Of that interpreter."""
    requirements: tuple[str, ...] = ()
    """What was asked for."""
    lock: str = ""
    """As a ``pylock.toml``."""
    modules: tuple[str, ...] = ()
    """Import names of its packages."""
    made_at: float = 0.0
    made_by: str = ""
    managed: bool = True
    """False for an older folder that was installed into by hand."""


class Builds:
    """The environments of a project.

    Args:
        folder: ``.gatewright/envs``.
        uv: What installs packages.

    Attributes:
        claims: Tell folders of builds that must stay although no environment has them.
        fresh: Seconds for which a finished build may wait for its name or claim.
        prepare: Called with each build before it is used.
    """

    def __init__(self, folder: Path, uv: Uv) -> None:
        self.folder = folder
        self.uv = uv
        self.claims: list[Callable[[], Iterable[Path]]] = []
        self.prepare: Callable[[Environment], Awaitable[None]] | None = None
        self.fresh = FRESH
        self._making: set[Path] = set()
        self._made: dict[Path, float] = {}
        """Builds that are finished and that no name leads to yet, and since when."""

    async def make(
        self,
        lock: Lock,
        python: PythonProgram,
        name: str,
        *,
        requirements: Sequence[str] = (),
        by: str = "",
        tell: Tell | None = None,
        count: Count | None = None,
        claim: Callable[[Path], None] | None = None,
    ) -> Environment:
        """Make a build of a lock's packages. No name leads to it yet. What fails or is cancelled leaves nothing.

        Args:
            lock: What is installed.
            python: The interpreter that scripts will run on, checked.
            name: Of the environment that it is for.
            requirements: What was asked for.
            by: Who asked.
            tell: Hears each line of what happens.
            count: Hears now and then how many packages are fetched and installed, and modules compiled.
            claim: Called with the finished build before ``collect`` may take it; blocks.

        Raises:
            ServiceError: It could not be made, or a package wrote where none may; the sentence says why.
        """
        prefix = self._new_prefix()
        environment = _environment(prefix, python.path, python.version, name)
        self._making.add(prefix)
        try:
            await asyncio.to_thread(_skeleton, environment)
            async with _counted(lambda: self._so_far(lock, environment), count):
                await self.uv.install(lock, prefix, tell=tell)
            await asyncio.to_thread(_check, environment)
            if lock.packages:
                if tell is not None:
                    tell("Compiling")
                await asyncio.to_thread(self._take_compiled, environment, lock)
                await _compile(environment, count)
            record = BuildRecord(
                FORMAT, name, str(python.path), python.version, tuple(requirements), lock.text,
                tuple(import_names(environment.packages)), time.time(), by,
            )  # fmt: skip
            await asyncio.to_thread(_finish, prefix, record)
            if claim is not None:
                await asyncio.to_thread(claim, prefix)
            if self.prepare is not None:
                await self.prepare(environment)
            if claim is None:
                self._made[prefix] = time.monotonic()
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, prefix, ignore_errors=True)
            raise ServiceError(
                "disk",
                f"The environment cannot be written: {error.strerror or error}. Nothing was changed.",
                hint="Free some room, then try again.",
                status=507,
            ) from None
        except BaseException:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, prefix, ignore_errors=True))
            raise
        finally:
            self._making.discard(prefix)
        return environment

    def _new_prefix(self) -> Path:
        """Return a folder for a build that no other one has."""
        return self.folder / BUILDS / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"

    def _so_far(self, lock: Lock, environment: Environment) -> tuple[str, int, int]:
        """Return how far the installation of a lock is. Blocks."""
        installed = sum(1 for _ in environment.packages.glob("*.dist-info"))
        if installed:
            return "installing", installed, len(lock.packages)
        return "fetching", self.uv.fetched(lock), len(lock.packages)

    def _take_compiled(self, environment: Environment, lock: Lock) -> None:
        """Copy what other builds have compiled of the same wheels: that takes longest. Blocks."""
        waiting = {(each.name, each.sha256) for each in lock.packages}
        for prefix, record in reversed(self.all()):
            if not record.managed or _minor(record.version) != _minor(environment.version):
                continue
            shared = waiting & {(each.name, each.sha256) for each in self.lock(record).packages}
            if shared:
                _copy_compiled(_environment(prefix, environment.interpreter, record.version, ""), environment, shared)
                waiting -= shared

    def names(self) -> list[str]:
        """Return the names of environments, the default first. Blocks."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as found:
            names = {each.name for each in found if each.name != BUILDS and not each.name.startswith(".")}
            return sorted(names, key=lambda name: (name != DEFAULT, name))
        return []

    def named(self) -> list[Environment]:
        """Return the environments that have a record, the default first: nothing is run. Blocks."""
        found = [(name, self.prefix(name)) for name in self.names()]
        environments = [(name, self.at(prefix)) for name, prefix in found if prefix is not None]
        return [replace(environment, name=name) for name, environment in environments if environment is not None]

    def record(self, prefix: Path) -> BuildRecord | None:
        """Return what the build at ``prefix`` was made from; None if it is none that was finished. Blocks."""
        try:
            data = (prefix / RECORD).read_bytes()
            found = msgspec.json.decode(data, type=BuildRecord)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.format == FORMAT else None

    def lock(self, record: BuildRecord) -> Lock:
        """Return a build's lock; an empty one if there is none that can be read."""
        try:
            return Lock.read(record.lock, record.version, source=True)
        except BadLock:
            return Lock()

    def prefix(self, name: str) -> Path | None:
        """Return the folder that a name leads to; None if there is no such environment. Blocks."""
        place = self.folder / name
        return Path(os.path.realpath(place)) if name != BUILDS and place.is_dir() else None

    def current(self, name: str) -> Environment | None:
        """Return the environment of that name; None if there is none, or its interpreter does not run. Blocks."""
        prefix = self.prefix(name)
        if prefix is None:
            return None
        record = self.record(prefix)
        if record is None or not record.managed:
            return environment_at(self.folder / name)
        found = self.at(prefix)
        return found if found is not None and executable(found.interpreter) else None

    def startable(self, name: str) -> Environment | None:
        """Return the environment of that name if its interpreter still is what its record says. Blocks.

        Only what is installed by hand can have changed ``bin/python``, and so which interpreter an environment has.
        """
        prefix = self.prefix(name)
        record = None if prefix is None else self.record(prefix)
        if prefix is None or record is None:
            return None
        if not record.managed:
            return environment_at(self.folder / name)
        version = interpreter_version(Path(record.python)) if executable(Path(record.python)) else None
        if version is None or _minor(version) != _minor(record.version):
            return None
        return _environment(prefix, Path(record.python), version, name)

    def at(self, prefix: Path) -> Environment | None:
        """Return the build at ``prefix``, by its record: nothing is run. Blocks."""
        record = self.record(prefix)
        return None if record is None else _environment(prefix, Path(record.python), record.version, record.name)

    def all(self) -> list[tuple[Path, BuildRecord]]:
        """Return every finished build, the newest last. Blocks."""
        try:
            prefixes = sorted((self.folder / BUILDS).iterdir())
        except OSError:
            return []
        return [(prefix, record) for prefix in prefixes if (record := self.record(prefix)) is not None]

    def swap(self, name: str, prefix: Path) -> None:
        """Let a name lead to a build, in one step. Blocks.

        Raises:
            ServiceError: It could not be done; the name leads where it did.
        """
        if name == BUILDS:
            raise ServiceError("bad_request", f"No environment can be called {BUILDS}.")
        try:
            self.adopt(name)
            with disk.open_folder(self.folder) as folder:
                temporary = disk.temp_name(name)
                os.symlink(f"{BUILDS}/{prefix.name}", temporary, dir_fd=folder)
                try:
                    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    disk.remove_quietly(folder, temporary)
                    raise
                os.fsync(folder)
            self._made.pop(prefix, None)
        except OSError as error:
            raise ServiceError(
                "disk", f"The environment {name} cannot be changed: {error.strerror}.", status=507
            ) from None

    def adopt(self, name: str) -> None:
        """Make a build of an older environment, which is a folder. Its path leads to it all the time. Blocks.

        Raises:
            OSError: The file system does not let us.
        """
        place = self.folder / name
        if place.is_symlink() or not place.is_dir():
            return
        (self.folder / BUILDS).mkdir(mode=0o700, exist_ok=True)
        prefix = self._new_prefix()
        build = f"{BUILDS}/{prefix.name}"
        if (found := environment_at(place)) is not None and not (place / RECORD).exists():
            _finish(place, self.unmanaged(name, found))
        self._making.add(prefix)  # until the name leads there, ``collect`` would take it for one that nothing needs
        try:
            with disk.open_folder(self.folder) as folder:
                # A link that leads nowhere where it is, and to the folder once the two have changed places.
                os.symlink(build, build, dir_fd=folder)
                try:
                    disk.exchange(folder, name, build)
                except disk.ExchangeUnsupportedError:
                    os.unlink(build, dir_fd=folder)
                    os.rename(name, build, src_dir_fd=folder, dst_dir_fd=folder)
                    os.symlink(build, name, dir_fd=folder)
                except BaseException:
                    disk.remove_quietly(folder, build)
                    raise
                os.fsync(folder)
        finally:
            self._making.discard(prefix)

    def unmanaged(self, name: str, environment: Environment) -> BuildRecord:
        """Return what is known of an older environment, which was installed into by hand. Blocks."""
        return BuildRecord(
            FORMAT,
            name,
            str(environment.interpreter),
            environment.version,
            tuple(requirements_of(environment.packages)),
            made_at=(self.folder / name).stat().st_mtime,
            modules=tuple(import_names(environment.packages)),
            managed=False,
        )

    def remove(self, name: str) -> None:
        """Take a name away; its build goes with the next ``collect``. Blocks.

        Raises:
            OSError: The file system does not let us.
        """
        self.adopt(name)
        with disk.open_folder(self.folder) as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def claimed(self) -> set[Path]:
        """Return the folders of builds that must stay although no environment has them. Blocks."""
        return {Path(os.path.realpath(path)) for told in self.claims for path in told()}

    def collect(self, in_use: Iterable[Path] = ()) -> list[Path]:
        """Remove the builds that nothing needs: no name, no claim, none of ``in_use``. Blocks."""
        places: list[Path] = []
        with contextlib.suppress(OSError):
            places = sorted((self.folder / BUILDS).iterdir())
        # In this order: what is listed is being made now, or was finished and claimed before the claims are told.
        making = set(self._making)
        kept = {Path(os.path.realpath(each)) for each in in_use} | self.claimed()
        kept |= {prefix for name in self.names() if (prefix := self.prefix(name)) is not None}
        fresh = [prefix for prefix, at in list(self._made.items()) if time.monotonic() - at < self.fresh]
        kept |= {Path(os.path.realpath(prefix)) for prefix in fresh}
        removed = []
        with contextlib.suppress(OSError):
            for place in places:
                if Path(os.path.realpath(place)) in kept or place in making:
                    continue
                if place.is_symlink():  # of an adoption that was not finished
                    place.unlink(missing_ok=True)
                    continue
                self.discard(place)
                self._made.pop(place, None)
                removed.append(place)
        return removed

    def discard(self, prefix: Path) -> None:
        """Remove a build. Blocks."""
        (prefix / RECORD).unlink(missing_ok=True)  # half of it must not be taken for a build
        shutil.rmtree(prefix, ignore_errors=True)


def import_names(packages: Path) -> list[str]:
    """Return by which names scripts import what a folder of packages holds, as it is on disk. Blocks."""
    found = set()
    with contextlib.suppress(OSError), os.scandir(packages) as entries:
        for entry in entries:
            name, _, rest = entry.name.partition(".")
            module = entry.is_dir() if not rest else rest == "py" or rest.endswith("so")
            if module and name.isidentifier() and name != "__pycache__":
                found.add(name)
    return sorted(found)


def requirements_of(packages: Path) -> list[str]:
    """Return what was installed by hand, as requirements: what nothing else there needs. Blocks."""
    return [each.name for each in Installed(packages).packages.values() if not each.needed_by]


def _environment(prefix: Path, interpreter: Path, version: str, name: str) -> Environment:
    return Environment(
        interpreter, prefix, prefix / "lib" / f"python{_minor(version)}" / "site-packages", version, name
    )


def executable(interpreter: Path) -> bool:
    """Return whether this account may execute an interpreter, and no other ordinary one could have changed it."""
    return os.access(interpreter, os.X_OK) and distrust(interpreter) is None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _skeleton(environment: Environment) -> None:
    """Make a virtual environment without packages, as PEP 405 describes it."""
    environment.packages.mkdir(mode=0o700, parents=True)
    programs = environment.prefix / "bin"
    programs.mkdir(mode=0o700)
    os.symlink(environment.interpreter, programs / "python")
    for name in _links(environment):
        os.symlink("python", programs / name)
    (environment.prefix / "pyvenv.cfg").write_text(_configuration(environment))


def _links(environment: Environment) -> tuple[str, str]:
    return "python3", f"python{_minor(environment.version)}"


def _configuration(environment: Environment) -> str:
    return (
        f"home = {environment.interpreter.parent}\ninclude-system-site-packages = false\n"
        f"version = {environment.version}\n"
    )


def _check(environment: Environment) -> None:
    """Look whether packages wrote over what makes the environment one, or made something that is no file.

    Raises:
        ServiceError: One did.
    """
    programs = environment.prefix / "bin"
    expected = {programs / "python": str(environment.interpreter)}
    expected |= {programs / name: "python" for name in _links(environment)}
    for link, target in expected.items():
        if not link.is_symlink() or os.readlink(link) != target:
            raise _hostile(f"bin/{link.name}")
    configuration = environment.prefix / "pyvenv.cfg"
    if configuration.is_symlink() or configuration.read_text(errors="replace") != _configuration(environment):
        raise _hostile("pyvenv.cfg")
    if os.path.lexists(environment.prefix / RECORD):
        raise _hostile(RECORD)
    for path, info in _entries(environment.prefix):
        if stat.S_ISDIR(info.st_mode) or path in expected:
            continue
        if not stat.S_ISREG(info.st_mode):
            raise _hostile(str(path.relative_to(environment.prefix)))
        if (mode := stat.S_IMODE(info.st_mode)) & ~0o755:  # uv's lock file; and no package needs set-user-ID
            os.chmod(path, mode & 0o755)


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            yield path, path.lstat()


def _hostile(what: str) -> ServiceError:
    return ServiceError(
        "hostile_package",
        f"A package wrote to {what[:100]!r} of its environment, which no package may. Nothing was installed.",
        hint="Do not use it.",
        status=422,
    )


@contextlib.asynccontextmanager
async def _counted(look: Callable[[], tuple[str, int, int]], count: Count | None) -> AsyncIterator[None]:
    """Tell how far something is while the block goes on. ``look`` blocks."""

    async def counting(count: Count) -> None:
        while True:
            count(*await asyncio.to_thread(look))
            await asyncio.sleep(COUNT_EVERY)

    if count is None:
        yield
        return
    task = asyncio.ensure_future(counting(count))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, OSError):
            raise error  # a cancelled task says so where it is told how far it is


async def _compile(environment: Environment, count: Count | None = None) -> None:
    """Compile all modules, so that no run has to: a sandboxed one could not keep it. Nothing of them is executed.

    What does not compile is left to the run that imports it.
    """
    missing = await asyncio.to_thread(_not_compiled, environment)
    if not missing:
        return
    process = await asyncio.create_subprocess_exec(
        *dies_along(
            str(environment.interpreter),
            *("-I", "-S", "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash", "-i", "-"),
            memory=COMPILE_MEMORY,
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        cwd="/",
        start_new_session=True,
    )
    give_way(process.pid)
    waiting = list(reversed(missing))

    def compiled() -> tuple[str, int, int]:
        while waiting and _compiled(waiting[-1], environment.version).exists():
            waiting.pop()
        return "compiling", len(missing) - len(waiting), len(missing)

    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMPILE_WAIT), _counted(compiled, count):
                await process.communicate("".join(f"{path}\n" for path in missing).encode("utf-8", "surrogateescape"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def _copy_compiled(source: Environment, target: Environment, shared: set[tuple[str, str]]) -> None:
    names = {name for name, _ in shared}
    for distribution in found_distributions(target.packages):
        for file in _files_of(distribution, names):
            if file.suffix != ".py" or file.is_absolute() or ".." in file.parts:
                continue
            made = _compiled(target.packages / file, target.version)
            try:
                made.parent.mkdir(exist_ok=True)
                shutil.copyfile(_compiled(source.packages / file, target.version), made, follow_symlinks=False)
            except OSError:  # half of it would be imported
                made.unlink(missing_ok=True)


def _files_of(distribution: FoundDistribution, names: Iterable[str]) -> list[metadata.PackagePath]:
    """Return the files of a package if it is one of ``names``; of what cannot be read, none."""
    with contextlib.suppress(Exception):  # whatever it says of itself
        if canonicalize_name(distribution.name) in names:
            return distribution.files or []
    return []


def _compiled(path: Path, version: str) -> Path:
    """Return where a module is once it is compiled (PEP 3147)."""
    return path.parent / "__pycache__" / f"{path.stem}.cpython-{_minor(version).replace('.', '')}.pyc"


def _not_compiled(environment: Environment) -> list[Path]:
    return [
        path
        for path, info in _entries(environment.packages)
        if path.suffix == ".py"
        and stat.S_ISREG(info.st_mode)
        and "\n" not in str(path)
        and not _compiled(path, environment.version).exists()
    ]


def _finish(prefix: Path, record: BuildRecord) -> None:
    """Have everything on the disk, then say that the build is one.

    Raises:
        OSError: It is not all on the disk.
    """
    with disk.open_folder(prefix) as folder:
        if _libc.syncfs(folder) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        disk.replace_file(folder, RECORD, msgspec.json.format(msgspec.json.encode(record), indent=1), 0o600)
