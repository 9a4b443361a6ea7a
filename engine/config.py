"""The engine's settings: the project's ``settings.toml``, then the environment, then flags; the later wins.

The file decides what scripts may do, so it counts only when nobody but the project's owner can write it. Whatever is
wrong in it is refused with one sentence that names the file, the key and what would be right; nothing is guessed.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import stat
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from store.sizes import describe_size

ENVIRONMENT_PREFIX = "GATEWRIGHT_"
MAX_FILE = 1 << 20
FILE_ONLY = {
    "policy.": "what scripts may do",
    "access.": "who may do what",
    "listen.": "who reaches the engine",
    "assistant.": "where texts of this host are sent",
    "packages.": "where packages come from",
    "audit.": "where copies of the audit's head are sent",
    "yield.wrapper_log": "which log of the gateway is read",
}
"""Keys that no variable of the environment sets, and what they decide."""

UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class ConfigError(Exception):
    """A setting that cannot be used. Nothing was started.

    Attributes:
        message: One sentence that names the file or variable and the key.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be. ``size``: bytes, which people may write as "512 MiB"."""

    title: str
    low: float
    high: float
    size: bool = False

    def __str__(self) -> str:
        return f"{self._show(self.low)} to {self._show(self.high)}"

    def _show(self, number: float) -> str:
        if not self.size:
            return f"{number:g}" if number < 1e6 else f"{number:.0f}"
        return describe_size(number)


@dataclass(frozen=True, slots=True)
class Names:
    """What a list of names may hold: each one matches ``pattern``."""

    title: str
    pattern: str


ACCOUNTS = Names("names of accounts and @groups of this host", r"@?[^\s@:,/](?:[^\n\r\t:,]{0,254}[^\s:,])?")
HOSTS = Names("names of hosts", r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")

INDEXES = Names("addresses of package indexes", r"https?://[^\s/@]*(?:@[^\s/@]+)?[^\s@]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSection:
    """``[pool]``: how many scripts run at the same time, and who waits how long."""

    size: Annotated[int, Range("pool size", 3, 20)] = 3
    """Slots; each runs one script at a time."""

    queue_limit: Annotated[int, Range("queue limit", 1, 100_000)] = 1000
    """Runs that may wait for a free slot; one more is refused."""

    queue_wait: Annotated[float, Range("queue wait", 1, 86_400)] = 300.0
    """Seconds that a run may wait for a free slot, or for memory, before it is refused."""

    api_queue_wait: Annotated[float, Range("queue wait of API calls", 0.1, 3600)] = 5.0
    """Seconds that a run may wait for a free slot while a client of the API waits for its end; then it is refused."""

    memory_reserve: Annotated[int, Range("memory reserve", 0, 1 << 40, size=True)] = 64 << 20
    """Memory that stays free on the host when all that runs takes all that it asked for; one run more waits."""

    health_interval: Annotated[float, Range("health interval", 1, 3600)] = 30.0
    """Seconds between two health probes of an idle slot."""

    preload_memory: Annotated[int, Range("preload memory", 0, 64 << 30, size=True)] = 256 << 20
    """Memory that idle slots may take for packages that they have imported ahead of the scripts that use them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """``[limits]``: what a run gets when its script does not ask for more."""

    timeout: Annotated[float, Range("timeout", 0.1, 86_400)] = 30.0
    """Seconds from the start of a run until it is stopped."""

    memory: Annotated[int, Range("memory", 64 << 20, 64 << 30, size=True)] = 512 << 20
    """Memory of a run."""

    output: Annotated[int, Range("output", 1 << 10, 256 << 20, size=True)] = 1 << 20
    """Output of a run that is kept; of more than that its first half and its last, and a line that says so."""

    result: Annotated[int, Range("result", 1 << 10, 16 << 20, size=True)] = 1 << 20
    """Size of a run's result as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingsSection:
    """``[ceilings]``: the most that a script's frontmatter or a request may ask for, and that a default may give."""

    timeout: Annotated[float, Range("timeout ceiling", 0.1, 86_400)] = 3600.0
    """Seconds."""

    memory: Annotated[int, Range("memory ceiling", 64 << 20, 64 << 30, size=True)] = 4 << 30
    """Memory of a run."""

    output: Annotated[int, Range("output ceiling", 1 << 10, 256 << 20, size=True)] = 64 << 20
    """Output of a run that is kept."""

    result: Annotated[int, Range("result ceiling", 1 << 10, 16 << 20, size=True)] = 16 << 20
    """Size of a run's result as JSON."""

    scratch: Annotated[int, Range("scratch ceiling", 1 << 20, 4 << 30, size=True)] = 256 << 20
    """Size of the scratch folder of a run; it is memory."""

    open_files: Annotated[int, Range("open files ceiling", 16, 4096)] = 256
    """Files that a run may hold open at once."""

    files: Annotated[int, Range("ceiling of returned files", 0, 256 << 20, size=True)] = 16 << 20
    """Size in all of the files that a run leaves in its record."""

    upload: Annotated[int, Range("upload ceiling", 1 << 20, 16 << 30, size=True)] = 256 << 20
    """Size of one file that is handed to a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySection:
    """``[policy]``: what scripts may do. Decided in the file alone: no script, git pull or environment can."""

    preset: Literal["classic", "default", "practical"] = "default"
    """What RESTRICTED scripts may import: a short list; the standard library; that with "os" and "threading"."""

    modules: tuple[str, ...] = ()
    """Modules that RESTRICTED scripts may import beside what the preset gives them, for example "pandas"."""

    lifted: tuple[str, ...] = ()
    """Modules that are blocked in both modes unless they are named here, for example "threading"."""

    allow_degraded: bool = False
    """Whether RESTRICTED scripts run although this host cannot give them the sandbox. Every result then says so."""

    admin_as_root: bool = False
    """Whether there are ADMIN runs although the engine runs as root."""

    admin_memory: Annotated[int, Range("memory of an ADMIN run", 64 << 20, 1 << 40, size=True)] = 2 << 30
    """Memory of an ADMIN run with all it started and its own /dev/shm; more of it ends the run.

    Memory that no process has mapped (memfd, System V) is counted only where the engine has a cgroup of its own.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSection:
    """``[access]``: what other accounts of this host may do. Decided in the file alone, and read again when it changes.

    The project's owner and root are administrators. An account that is named more than once has the highest role.
    """

    viewers: Annotated[tuple[str, ...], ACCOUNTS] = ()
    """Accounts, and groups as "@name", that may see scripts and their own runs."""

    operators: Annotated[tuple[str, ...], ACCOUNTS] = ()
    """They may also run saved scripts."""

    authors: Annotated[tuple[str, ...], ACCOUNTS] = ()
    """They may also edit scripts, run code of their own, and see the runs of all."""

    admins: Annotated[tuple[str, ...], ACCOUNTS] = ()
    """They may do everything, ADMIN runs included."""

    hosts: Annotated[tuple[str, ...], HOSTS] = ()
    """Names under which clients on the network may call this engine, beside the addresses that it listens on."""

    in_flight: Annotated[int, Range("requests of one token", 1, 10_000)] = 32
    """Requests of one token that are answered at a time; one more waits for 2 s, then it is told to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSection:
    """``[engine]``: the life of the engine itself."""

    idle_exit_minutes: Annotated[float, Range("idle exit", 0, 525_600)] = 30.0
    """Minutes without a client, a run or a task after which an engine started in the background ends. 0: never."""

    path: str = "/usr/local/bin:/usr/bin:/bin"
    """Where the engine and its git look for programs."""

    log_file: bool = True
    """Whether an engine in the foreground has its log as a file of the project, too, beside stderr (the journal)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """``[listen]``: TCP, which is off until an address is given. Decided in the file or on the command line alone."""

    address: str = ""
    """Where the engine listens, for example "127.0.0.1:9089"; port 0 is any free one. Empty: nowhere."""

    tls_cert: str = ""
    """File in PEM: the certificate, and those between it and a root. Without it only loopback addresses are taken."""

    tls_key: str = ""
    """File with its private key in PEM, unencrypted, readable by the engine's account (or root) alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantSection:
    """``[assistant]``: a language model that people and approved scripts may ask. Decided in the file alone."""

    url: str = ""
    """Base of its chat API, for example "http://127.0.0.1:11434/v1". Empty: there is none."""

    model: str = ""
    """Which model is asked for there."""

    key_file: str = ""
    """File with its key, readable by the engine's account (or root) alone. Empty: it wants none."""

    ca_file: str = ""
    """File in PEM with the authorities that vouch for it, in place of the system's."""

    timeout: Annotated[float, Range("timeout of the assistant", 1, 600)] = 60.0
    """Seconds for an answer, all tries together."""

    script_requests: Annotated[int, Range("requests of one script", 1, 1_000_000)] = 200
    """Requests a day of each script, and of each caller without one."""

    requests: Annotated[int, Range("requests a day", 1, 10_000_000)] = 1_000
    """Requests a day of all together."""

    text: Annotated[int, Range("text a day", 1 << 10, 1 << 40, size=True)] = 10 << 20
    """Size of the texts that are sent and come back in a day, all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagesSection:
    """``[packages]``: where packages for scripts come from. Decided in the file alone."""

    index: str = ""
    """Address of the package index (PEP 503). Empty: the public one. "none": no index is asked."""

    extra_indexes: Annotated[tuple[str, ...], INDEXES] = ()
    """Addresses of indexes that are asked before it; a package comes from the first one that has it."""

    wheelhouse: str = ""
    """Folder with wheels. What it holds is enough for an installation or the index is asked, too."""

    constraints: str = ""
    """File with the versions that packages may have, as pip reads it."""

    build: bool = False
    """Whether source distributions are installed: building one runs its code as the engine's account."""

    timeout: Annotated[float, Range("timeout of an installation", 1, 86_400)] = 900.0
    """Seconds for an installation."""

    cache_size: Annotated[int, Range("disk space for the cache of packages", 0, 1 << 50, size=True)] = 2 << 30
    """Disk space for the cache, from which packages are installed again without being fetched. More goes."""

    scripts_size: Annotated[int, Range("disk space for scripts' environments", 1 << 20, 1 << 50, size=True)] = 5 << 30
    """Disk space for the environments of scripts that name packages of their own. The longest unused go first."""

    scripts_days: Annotated[float, Range("days for scripts' environments", 1, 3_650)] = 30.0
    """Days after which such an environment goes that no run needed; the next run has it built again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSection:
    """``[retention]``: how long the past is kept."""

    output_days: Annotated[float, Range("output retention", 1, 36_500)] = 14.0
    """Days for which the output of runs is kept."""

    output_size: Annotated[int, Range("output retention", 1 << 20, 1 << 40, size=True)] = 1 << 30
    """Size of all kept output together; the oldest goes first."""

    run_days: Annotated[float, Range("run retention", 1, 36_500)] = 90.0
    """Days for which the records of runs are kept."""

    versions: Annotated[int, Range("kept versions", 1, 10_000)] = 50
    """Versions of each script that are kept."""

    deleted_days: Annotated[float, Range("retention of deleted scripts", 1, 36_500)] = 90.0
    """Days for which the versions of a deleted script are kept."""

    unnamed_days: Annotated[float, Range("retention of leftovers", 1, 36_500)] = 30.0
    """Days for which texts are kept that a crash left in the history without a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSection:
    """``[disk]``: what stays free. Below it, run output is not recorded and nothing is saved; runs go on."""

    keep_free: Annotated[int, Range("free disk space", 0, 1 << 50, size=True)] = 500 << 20
    """Room that stays free on the project's disk."""

    keep_free_percent: Annotated[float, Range("free disk space in percent", 0, 90)] = 2.0
    """The same as a share of the disk, in percent; the larger one of the two counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """``[audit]``: copies of the audit's head where another account keeps them. Decided in the file alone."""

    syslog: bool = True
    """Whether the system's log gets the head each minute, and before each ADMIN run."""

    socket: str = "/dev/log"
    """Where the system's log listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldSection:
    """``[yield]``: when slots rest because the host, or the gateway on it, needs what their scripts would use."""

    enabled: bool = True
    """Whether slots ever rest."""

    keep: Annotated[int, Range("slots that never rest", 1, 20)] = 1
    """Slots that never rest."""

    load: Annotated[float, Range("load of a processor", 0.1, 1000)] = 2.0
    """Load for each processor of the host; it counts while other programs use a quarter of the processors or more."""

    stalled: Annotated[float, Range("percent of the time", 1, 100)] = 60.0
    """Percent of the time in which something waits for a processor (/proc/pressure/cpu); it counts in the same case."""

    memory: Annotated[float, Range("available memory in percent", 0, 90)] = 5.0
    """Percent of the host's memory that must be available. 0: any will do."""

    gateway: Annotated[float, Range("use of the gateway in percent", 1, 100)] = 75.0
    """Percent of the processors that the gateway's JVM may use."""

    wrapper_log: str = ""
    """The gateway's wrapper.log. Naming it approves that the engine reads the end of it. Empty: it does not."""

    held_up: Annotated[float, Range("seconds of a gateway held up", 0.1, 3600)] = 2.0
    """Seconds of clock drift, or of garbage collection, that its log may show within half a minute."""

    after: Annotated[float, Range("seconds under pressure", 1, 3600)] = 20.0
    """Seconds for which one of these limits is passed before a step: a quarter of the slots rests, or one."""

    back: Annotated[float, Range("seconds without pressure", 1, 86_400)] = 60.0
    """Seconds for which none is near its limit before a step back."""


SECTION_NAMES = {"yielding": "yield"}
"""Fields of ``Settings`` whose section in the file has another name, one that no field can have."""


def section_name(field: str) -> str:
    """Return how the section is called in the file that is a field of ``Settings``."""
    return SECTION_NAMES.get(field, field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of an engine. ``Settings()`` is what holds where nobody set anything."""

    pool: PoolSection = field(default_factory=PoolSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    ceilings: CeilingsSection = field(default_factory=CeilingsSection)
    policy: PolicySection = field(default_factory=PolicySection)
    access: AccessSection = field(default_factory=AccessSection)
    engine: EngineSection = field(default_factory=EngineSection)
    listen: ListenSection = field(default_factory=ListenSection)
    assistant: AssistantSection = field(default_factory=AssistantSection)
    packages: PackagesSection = field(default_factory=PackagesSection)
    retention: RetentionSection = field(default_factory=RetentionSection)
    disk: DiskSection = field(default_factory=DiskSection)
    audit: AuditSection = field(default_factory=AuditSection)
    yielding: YieldSection = field(default_factory=YieldSection)

    @classmethod
    def load(
        cls, file: Path, environ: Mapping[str, str] = os.environ, flags: Mapping[str, str | float] | None = None
    ) -> Settings:
        """Read the settings of a project.

        Args:
            file: Its ``settings.toml``; a missing one means defaults.
            environ: ``GATEWRIGHT_POOL_SIZE`` sets ``pool.size`` and so on.
            flags: From the command line, by key: ``{"pool.size": 5}``.

        Raises:
            ConfigError: Something in it cannot be used.
        """
        chosen: dict[str, Any] = {}
        for key, value in _of_file(file):
            chosen[key] = _checked(key, value, str(file))
        for name, key in _variables(environ):
            chosen[key] = _checked(key, environ[name], f"the environment variable {name}")
        for key, value in (flags or {}).items():
            chosen[key] = _checked(key, value, "the command line")
        return _built(chosen)


def changed_settings(settings: Settings) -> dict[str, object]:
    """Return what is not as it is where nothing is set, by key such as ``pool.size``."""
    usual = Settings()
    return {
        f"{section_name(section.name)}.{each.name}": value
        for section in fields(settings)
        for each in fields(getattr(settings, section.name))
        if (value := getattr(getattr(settings, section.name), each.name))
        != getattr(getattr(usual, section.name), each.name)
    }


def _sections() -> dict[str, type[Any]]:
    return {section_name(field): type_ for field, type_ in typing.get_type_hints(Settings).items()}


def _keys() -> dict[str, Any]:
    """Every key such as ``pool.size`` with its annotated type."""
    return {
        f"{section}.{name}": hint
        for section, type_ in _sections().items()
        for name, hint in typing.get_type_hints(type_, include_extras=True).items()
    }


def _built(chosen: Mapping[str, Any]) -> Settings:
    sections: dict[str, Any] = {}
    for name, type_ in typing.get_type_hints(Settings).items():
        prefix = f"{section_name(name)}."
        values = {key.removeprefix(prefix): value for key, value in chosen.items() if key.startswith(prefix)}
        sections[name] = type_(**values)
    return Settings(**sections)


def _of_file(file: Path) -> Iterator[tuple[str, Any]]:
    text = _read_trusted(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.", "Correct that line, or delete the file.") from None
    for section, values in document.items():
        if section not in _sections() or not isinstance(values, dict):
            raise _unknown(section, [f"[{name}]" for name in _sections()], str(file), "section")
        for name, value in values.items():
            yield f"{section}.{name}", value


def _read_trusted(file: Path) -> str:
    """The file's text, if only the engine's own account could have written it (or root, who could do anything)."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    try:
        _check_trusted(file, os.fstat(fd))
        return os.read(fd, MAX_FILE).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text.", "Convert it, for example with iconv.") from None
    finally:
        os.close(fd)


def _check_trusted(file: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_FILE:
        raise ConfigError(f"{file} is not a settings file.", "Move it away; the engine then uses its defaults.")
    if info.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{file} belongs to another account (uid {info.st_uid}).", "Give it back with chown.")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{file} can be written by other accounts.", f"Run: chmod go-w {file}")


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Settings among the environment's variables: name and key. Others of ours, for other tools, are left alone."""
    known = {ENVIRONMENT_PREFIX + key.replace(".", "_").upper(): key for key in _keys()}
    for name in environ:
        if name in known:
            if decides := next((what for key, what in FILE_ONLY.items() if known[name].startswith(key)), ""):
                raise ConfigError(
                    f"The environment variable {name} cannot decide {decides}.",
                    "Unset it; policy is set in the project's settings.toml alone.",
                )
            yield name, known[name]
        elif name.startswith(tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}_" for section in _sections())):
            raise _unknown(name, list(known), "the environment", "variable")


def _unknown(name: str, valid: list[str], where: str, what: str) -> ConfigError:
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
    hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(valid)}."
    return ConfigError(f"{where} sets the unknown {what} {name}.", hint)


def _checked(key: str, value: object, where: str) -> object:
    """``value`` as the setting's own type, within its range."""
    keys = _keys()
    if key not in keys:
        raise _unknown(key, list(keys), where, "key")
    hint = keys[key]
    if hint is str:
        if not isinstance(value, str):
            raise ConfigError(f"{where}: {key} must be text.")
        return value
    if hint is bool:
        return _truth(key, value, where)
    if hint == tuple[str, ...]:
        return _module_names(key, value, where)
    if typing.get_origin(hint) is Literal:
        return _choice(key, value, typing.get_args(hint), where)
    kind, allowed = typing.get_args(hint)
    if isinstance(allowed, Names):
        return _names(key, value, allowed, where)
    number = _number(value, allowed)
    if number is None or not allowed.low <= number <= allowed.high or (kind is int and number != int(number)):
        raise ConfigError(f"{where}: {allowed.title} must be {allowed}, not {value}.", f"Correct {key}.")
    return kind(number)


def _truth(key: str, value: object, where: str) -> bool:
    """True or false, also as a variable of the environment writes them."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ConfigError(f"{where}: {key} must be true or false, not {value}.")


def _choice(key: str, value: object, choices: Sequence[str], where: str) -> str:
    """One of several words."""
    if isinstance(value, str) and value in choices:
        return value
    shown = [f'"{choice}"' for choice in choices]
    nearest = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
    raise ConfigError(
        f"{where}: {key} must be {', '.join(shown[:-1])} or {shown[-1]}, not {value!r}.",
        f"Did you mean {nearest[0]}?" if nearest else None,
    )


def _module_names(key: str, value: object, where: str) -> tuple[str, ...]:
    """A list of names that can stand in an import; in a variable of the environment with commas between them."""
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ConfigError(f"{where}: {key} must be a list of module names.")
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"{where}: {key} must be a list of module names; {name!r} is none.")
    return tuple(names)


def _names(key: str, value: object, allowed: Names, where: str) -> tuple[str, ...]:
    """A list of names, each of them once."""
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {key} must be a list of {allowed.title}.", 'For example ["alice", "@plant"].')
    for name in value:
        if not isinstance(name, str) or not name.isprintable() or not re.fullmatch(allowed.pattern, name):
            raise ConfigError(f"{where}: {key} must be a list of {allowed.title}; {name!r} is none.")
    return tuple(dict.fromkeys(value))


def _number(value: object, allowed: Range) -> float | None:
    """A number, also one written as text (a variable, a size with its unit); None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?+)\s*+([A-Za-z]*+)\s*", str(value))
    if match is None or (match[2] and not allowed.size) or match[2] not in UNITS:
        return None
    return float(match[1]) * UNITS[match[2]]
