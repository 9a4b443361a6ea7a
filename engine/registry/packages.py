"""Operations on packages, environments and interpreters. What changes them is done as a task with live output."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.packages import (
    DEFAULT,
    AddPythonRequest,
    CreateEnvironment,
    EnvironmentInfo,
    EnvironmentList,
    EnvironmentName,
    InstallRequest,
    OfferedList,
    PackageDetail,
    PackageList,
    PackagePlan,
    PythonInfo,
    PythonList,
    UninstallRequest,
    UpgradeRequest,
    UsePythonRequest,
)
from engine.registry.operation import TRANSFER_TIMEOUT, Operation

INSTALL_TIMEOUT = 3600.0
"""Seconds for an installation; the settings say when it is given up."""

PackageName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$")]


class EnvironmentParams(Model, frozen=True):
    environment: EnvironmentName = DEFAULT


class EnvironmentNameParams(Model, frozen=True):
    name: EnvironmentName


class PackageParams(Model, frozen=True):
    name: PackageName
    environment: EnvironmentName = DEFAULT


class BundleParams(Model, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=255, description="The file's name.")]
    environment: EnvironmentName = DEFAULT


class PackageSearchParams(Model, frozen=True):
    q: Annotated[str, Meta(min_length=1, max_length=100, description="A package's exact name.")]
    environment: EnvironmentName = DEFAULT


PACKAGES_LIST = Operation(
    "packages.list",
    "GET",
    "/packages",
    PackageList,
    "viewer",
    "List the packages of an environment",
    params=EnvironmentParams,
)
PACKAGES_SHOW = Operation(
    "packages.show",
    "GET",
    "/packages/show/{name}",
    PackageDetail,
    "viewer",
    "See what is known of an installed package",
    params=PackageParams,
)
PACKAGES_SEARCH = Operation(
    "packages.search",
    "GET",
    "/packages/search",
    OfferedList,
    "author",
    "Search what the package index offers",
    params=PackageSearchParams,
)
PACKAGES_PLAN = Operation(
    "packages.plan",
    "POST",
    "/packages/plan",
    PackagePlan,
    "author",
    "Plan an installation: see what it would change, without a change",
    body=InstallRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)
PACKAGES_INSTALL = Operation(
    "packages.install",
    "POST",
    "/packages/install",
    PackagePlan,
    "admin",
    "Install packages; the answer comes when it is done",
    body=InstallRequest,
    patience=INSTALL_TIMEOUT,
)
PACKAGES_UPGRADE = Operation(
    "packages.upgrade",
    "POST",
    "/packages/upgrade",
    PackagePlan,
    "admin",
    "Upgrade packages, those named or all",
    body=UpgradeRequest,
    patience=INSTALL_TIMEOUT,
)
PACKAGES_UNINSTALL = Operation(
    "packages.uninstall",
    "POST",
    "/packages/uninstall",
    PackagePlan,
    "admin",
    "Uninstall packages, and what only they needed",
    body=UninstallRequest,
    patience=INSTALL_TIMEOUT,
)
PACKAGES_BUNDLE = Operation(
    "packages.bundle",
    "GET",
    "/packages/bundle/{name}",
    bytes,
    "admin",
    "Bundle an environment's packages into one file, for a host without an index",
    params=BundleParams,
    raw_answer=True,
    cancels=True,
    patience=INSTALL_TIMEOUT,
)
PACKAGES_INSTALL_BUNDLE = Operation(
    "packages.install_bundle",
    "POST",
    "/packages/bundle",
    PackagePlan,
    "admin",
    "Install a bundle: the environment becomes what it was where the bundle was made",
    params=EnvironmentParams,
    raw_body=True,
    patience=INSTALL_TIMEOUT,
)
ENVIRONMENTS_LIST = Operation(
    "environments.list", "GET", "/environments", EnvironmentList, "viewer", "List the environments of this project"
)
ENVIRONMENTS_CREATE = Operation(
    "environments.create",
    "POST",
    "/environments",
    EnvironmentInfo,
    "admin",
    "Create environments",
    body=CreateEnvironment,
    patience=INSTALL_TIMEOUT,
)
ENVIRONMENTS_REMOVE = Operation(
    "environments.remove",
    "DELETE",
    "/environments/{name}",
    EnvironmentInfo,
    "admin",
    "Remove environments",
    params=EnvironmentNameParams,
)
PYTHON_LIST = Operation(
    "python.list", "GET", "/python", PythonList, "viewer", "List the interpreters that scripts may run on"
)
PYTHON_USE = Operation(
    "python.use",
    "POST",
    "/python/use",
    EnvironmentInfo,
    "admin",
    "Use another interpreter for an environment, with the same packages",
    body=UsePythonRequest,
    patience=INSTALL_TIMEOUT,
)
PYTHON_ADD = Operation(
    "python.add", "POST", "/python", PythonInfo, "admin", "Add an interpreter by its path", body=AddPythonRequest
)
PYTHON_REMOVE = Operation(
    "python.remove",
    "POST",
    "/python/remove",
    PythonInfo,
    "admin",
    "Remove an interpreter that was added by its path",
    body=AddPythonRequest,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    PACKAGES_LIST,
    PACKAGES_SHOW,
    PACKAGES_SEARCH,
    PACKAGES_PLAN,
    PACKAGES_INSTALL,
    PACKAGES_UPGRADE,
    PACKAGES_UNINSTALL,
    PACKAGES_BUNDLE,
    PACKAGES_INSTALL_BUNDLE,
    ENVIRONMENTS_LIST,
    ENVIRONMENTS_CREATE,
    ENVIRONMENTS_REMOVE,
    PYTHON_LIST,
    PYTHON_USE,
    PYTHON_ADD,
    PYTHON_REMOVE,
)
"""Each row comes in with the method that carries it out."""
