"""What is not here: routes whose feature does not exist yet, and shells, which there will not be."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model
from engine.registry.operation import Operation
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements

NOT_AVAILABLE = "not_available"


class NotAvailable(Model, frozen=True, rename="camel"):
    """The answer of a route without its feature. It is no error of the request, so its status is 200.

    Attributes:
        code: ``not_available``.
        message: The same sentence as ``error``: some clients show only this one.
    """

    success: bool
    code: str
    error: str
    message: str


class NoPackages(NotAvailable, frozen=True, rename="camel"):
    packages: dict[str, Any]
    count: int


class NoPackageStatus(NotAvailable, frozen=True, rename="camel"):
    status: dict[str, Any]
    installed: list[str]
    available: list[str]


class NoInstallation(NotAvailable, frozen=True, rename="camel"):
    installed_wheels: list[str]


class NoVerification(NotAvailable, frozen=True, rename="camel"):
    verification: dict[str, bool]


class NoFindings(NotAvailable, frozen=True, rename="camel"):
    query: str
    count: int
    results: list[dict[str, Any]]


class NoPackage(NotAvailable, frozen=True, rename="camel"):
    package: dict[str, Any]


class NoCompletions(NotAvailable, frozen=True, rename="camel"):
    completions: list[dict[str, Any]]
    count: int


class Gone(Model, frozen=True):
    """Never sent: these routes refuse every request."""


class PackageParams(Model, frozen=True):
    name: str


class QueryParams(Model, frozen=True):
    q: str = ""


class AnyRequest(Model, frozen=True):
    """Whatever a client sends along."""


class CompletionsRequest(Model, frozen=True):
    code: str = ""
    line: int = 1
    column: int = 0


def _row(
    name: str,
    method: Any,  # noqa: ANN401 - an Operation's
    path: str,
    answer: type[Any],
    summary: str,
    role: Any = "viewer",  # noqa: ANN401 - an Operation's
    **more: Any,  # noqa: ANN401 - an Operation's
) -> Operation[Any, Any, Any]:
    return Operation(f"compat.{name}", method, f"/api/v1/{path}", answer, role, summary, scoped=True, **more)


CATALOG = _row("packages.catalog", "GET", "packages/catalog", NoPackages, "List packages that can be installed")
STATUS = _row("packages.status", "GET", "packages/status", NoPackageStatus, "List packages that are installed")
INSTALL = _row(
    "packages.install",
    "POST",
    "packages/install/{name:path}",
    NoInstallation,
    "Install packages",
    "admin",
    params=PackageParams,
    body=AnyRequest,
)
UNINSTALL = _row(
    "packages.uninstall",
    "POST",
    "packages/uninstall/{name:path}",
    NotAvailable,
    "Remove packages",
    "admin",
    params=PackageParams,
    body=AnyRequest,
)
VERIFY = _row("packages.verify", "POST", "packages/verify", NoVerification, "Verify packages", "admin", body=AnyRequest)
SEARCH = _row(
    "packages.search", "GET", "packages/search-pypi", NoFindings, "Search the index of packages", params=QueryParams
)
PACKAGE = _row(
    "packages.info",
    "GET",
    "packages/pypi-info/{name:path}",
    NoPackage,
    "Read about a package of the index",
    params=PackageParams,
)
INSTALL_PYTHON = _row(
    "distributions.install",
    "POST",
    "distributions/install",
    NotAvailable,
    "Install other versions of Python",
    "admin",
    body=AnyRequest,
)
UNINSTALL_PYTHON = _row(
    "distributions.uninstall",
    "POST",
    "distributions/uninstall",
    NotAvailable,
    "Remove versions of Python",
    "admin",
    body=AnyRequest,
)
COMPLETIONS = _row(
    "completions", "POST", "completions", NoCompletions, "Complete code at a place", body=CompletionsRequest
)
SHELL = _row("shell_exec", "POST", "shell-exec", Gone, "Run shell commands", body=AnyRequest, status=410)
SHELL_CREATE = _row(
    "shell.create", "POST", "shell-interactive/create", Gone, "Open interactive shells", body=AnyRequest, status=410
)
SHELL_EXEC = _row(
    "shell.exec", "POST", "shell-interactive/exec", Gone, "Use interactive shells", body=AnyRequest, status=410
)
SHELL_CLOSE = _row(
    "shell.close", "POST", "shell-interactive/close", Gone, "Close interactive shells", body=AnyRequest, status=410
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    CATALOG,
    STATUS,
    INSTALL,
    UNINSTALL,
    VERIFY,
    SEARCH,
    PACKAGE,
    INSTALL_PYTHON,
    UNINSTALL_PYTHON,
    COMPLETIONS,
    SHELL,
    SHELL_CREATE,
    SHELL_EXEC,
    SHELL_CLOSE,
)

_PACKAGES = (
    "Packages cannot be managed from here yet: the administrator of this host installs them into the project's "
    "environment .gatewright/envs/default."
)
_PYTHONS = "Scripts run with one Python here, the one of this host; others cannot be installed or removed from here."
_COMPLETION = "There is no completion of code yet."
_SHELL = (
    "There is no shell here: its commands would run outside the sandbox. Run code with /exec, or use the host's own "
    "SSH."
)


def _said(sentence: str) -> dict[str, Any]:
    return {"success": False, "code": NOT_AVAILABLE, "error": sentence, "message": sentence}


class Unavailable:
    """Says of each what there is instead, and answers with the shapes that clients read, empty."""

    @implements(CATALOG)
    def catalog(self) -> NoPackages:
        return NoPackages(**_said(_PACKAGES), packages={}, count=0)

    @implements(STATUS)
    def status(self) -> NoPackageStatus:
        return NoPackageStatus(**_said(_PACKAGES), status={}, installed=[], available=[])

    @implements(INSTALL)
    def install(self, name: str, request: AnyRequest, actor: Actor) -> NoInstallation:  # noqa: ARG002
        return NoInstallation(**_said(_PACKAGES), installed_wheels=[])

    @implements(UNINSTALL)
    def uninstall(self, name: str, request: AnyRequest, actor: Actor) -> NotAvailable:  # noqa: ARG002
        return NotAvailable(**_said(_PACKAGES))

    @implements(VERIFY)
    def verify(self, request: AnyRequest, actor: Actor) -> NoVerification:  # noqa: ARG002
        return NoVerification(**_said(_PACKAGES), verification={})

    @implements(SEARCH)
    def search(self, q: str) -> NoFindings:
        return NoFindings(**_said(_PACKAGES), query=q, count=0, results=[])

    @implements(PACKAGE)
    def package(self, name: str) -> NoPackage:
        return NoPackage(**_said(_PACKAGES), package={"name": name, "versions": []})

    @implements(INSTALL_PYTHON)
    def install_python(self, request: AnyRequest, actor: Actor) -> NotAvailable:  # noqa: ARG002
        return NotAvailable(**_said(_PYTHONS))

    @implements(UNINSTALL_PYTHON)
    def uninstall_python(self, request: AnyRequest, actor: Actor) -> NotAvailable:  # noqa: ARG002
        return NotAvailable(**_said(_PYTHONS))

    @implements(COMPLETIONS)
    def completions(self, request: CompletionsRequest) -> NoCompletions:  # noqa: ARG002
        return NoCompletions(**_said(_COMPLETION), completions=[], count=0)

    @implements(SHELL)
    def shell(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_CREATE)
    def create(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_EXEC)
    def exec(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_CLOSE)
    def close(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()


def _gone() -> ServiceError:
    return ServiceError("gone", _SHELL, status=410)
