"""Packages, the environments that they are installed in, and the interpreters of this host."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models.base import Model

ENVIRONMENT_NAME = r"^[a-z][a-z0-9._-]{0,39}$"
"""As a regular expression; such a name is a folder's, and needs no quotes anywhere."""

DEFAULT = "default"
"""The environment of scripts that ask for no other one."""

EnvironmentName = Annotated[str, Meta(pattern=ENVIRONMENT_NAME, description="Lower case letters, digits, . _ -.")]
Requirement = Annotated[str, Meta(min_length=1, max_length=300, description="As PEP 508 writes them: pandas>=2.")]
Requirements = Annotated[list[Requirement], Meta(min_length=1, max_length=100)]


class InstalledPackage(Model, frozen=True):
    """A package of an environment."""

    name: str
    version: str
    requested: bool = False
    """Asked for itself; else others need it."""
    requirement: str = ""
    """As it was asked for."""
    needed_by: list[str] = []
    modules: list[str] = []
    """By which names scripts import it."""
    allowed: bool = False
    """RESTRICTED scripts may import it."""
    size: int = 0
    """Bytes on disk."""


class EnvironmentInfo(Model, frozen=True):
    """An environment, by its name."""

    name: str
    python: str
    """Version of its interpreter, such as ``3.12.3``."""
    interpreter: str
    packages: int
    built_at: float | None = None
    built_by: str = ""
    managed: bool = True
    """It was made here, with a lock; else it is an older folder that was installed into by hand."""
    problem: str | None = None
    """Why nothing runs in it, one sentence."""


class EnvironmentList(Model, frozen=True):
    environments: list[EnvironmentInfo]
    """The default first, the others by name."""
    own: int = 0
    """How many there are beside these that scripts' dependencies had made."""


class PackageList(Model, frozen=True):
    environment: EnvironmentInfo
    packages: list[InstalledPackage]
    """By name."""


class PackageDetail(InstalledPackage, frozen=True):
    """What is known of one installed package."""

    summary: str = ""
    licence: str = ""
    homepage: str = ""
    requires: list[str] = []
    sha256: str = ""
    """Of the wheel that it came in, as the lock has it."""
    origin: str = ""
    """Where that came from, without credentials."""


class PlannedPackage(Model, frozen=True):
    """A package of a lock, against what is installed now."""

    name: str
    version: str
    change: str
    """``new``, ``upgrade``, ``downgrade``, ``same`` or ``removed``."""
    before: str = ""
    """The version that is installed now."""
    sha256: str = ""
    size: int = 0
    """Bytes to fetch; 0 where that is not known."""
    origin: str = ""
    """Host or folder that it comes from, without credentials."""


class PackagePlan(Model, frozen=True):
    """What a change would make of an environment."""

    environment: str
    python: str
    packages: list[PlannedPackage]
    requirements: list[str]
    """Everything that the environment would be asked to have."""


class InstallRequest(Model, frozen=True):
    requirements: Requirements
    environment: EnvironmentName = DEFAULT
    upgrade: bool = False
    """Take the newest versions that fit, also of what is installed."""


class UpgradeRequest(Model, frozen=True):
    names: Annotated[list[Requirement], Meta(max_length=100)] = []
    """None of them: all."""
    environment: EnvironmentName = DEFAULT


class UninstallRequest(Model, frozen=True):
    names: Requirements
    environment: EnvironmentName = DEFAULT


class CreateEnvironment(Model, frozen=True):
    name: EnvironmentName
    python: str = ""
    """Version such as ``3.12``, or the path of an interpreter; empty: as the default environment."""
    requirements: Annotated[list[Requirement], Meta(max_length=100)] = []


class OfferedPackage(Model, frozen=True):
    """What an index offers by a name."""

    name: str
    version: str
    """The newest one that fits the environment's interpreter; empty if none does."""
    versions: list[str] = []
    """Newest first, 50 at most."""
    summary: str = ""
    origin: str = ""


class OfferedList(Model, frozen=True):
    packages: list[OfferedPackage]
    warning: str | None = None


class PythonInfo(Model, frozen=True):
    """An interpreter of this host."""

    path: str
    version: str
    source: str
    """``system``, ``local``, ``pyenv``, ``uv``, ``added``, ``own`` (the engine's) or ``used`` (by an environment)."""
    environments: list[str] = []
    """Names of those that run on it."""
    problem: str | None = None
    """Why scripts cannot run on it, one sentence."""


class PythonList(Model, frozen=True):
    interpreters: list[PythonInfo]
    """Newest version first; what cannot be used comes last."""


class UsePythonRequest(Model, frozen=True):
    python: Annotated[str, Meta(min_length=1, max_length=4096)]
    """Version such as ``3.12``, or the path of an interpreter."""
    environment: EnvironmentName = DEFAULT


class AddPythonRequest(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096)]
