"""What the doctor says of a layer, and which advice it gives: texts from findings, without touching the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import EngineSection, PolicySection, Settings
from engine.doctor import host
from engine.doctor.finding import Finding, Severity, careful
from engine.doctor.layers import LAYERS, LayerTrials, examine
from engine.doctor.remedies import HostSystem, for_landlock, for_namespaces, for_seccomp
from engine.doctor.sandbox import promises
from engine.sandbox.plan import Findings

WORKS = dict.fromkeys([layer.trial for layer in LAYERS])


def host_with(root: Path, **files: str) -> HostSystem:
    """A host whose files are these; ``__`` stands for a slash."""
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return HostSystem(root)


def examined(root: Path, *, abi: int = 7, uid: int = 1000, **failures: str) -> dict[str, Finding]:
    given = LayerTrials(abi, WORKS | failures, root / "env/bin/python", uid, HostSystem(root))
    return {finding.layer: finding for finding in examine(given)}


def test_a_host_with_everything(tmp_path: Path) -> None:
    found = examined(tmp_path)
    assert list(found) == [
        "user namespace", "namespaces", "private view", "scratch", "Landlock", "seccomp", "capabilities", "rlimits",
        "pidfd", "file locks",
    ]  # fmt: skip
    assert {finding.level for finding in found.values()} == {Severity.OK}
    assert not any(finding.advice for finding in found.values())
    assert all(finding.tried and finding.found and finding.protects.endswith(".") for finding in found.values())


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_missing_layer_says_what_failed_and_what_to_do(tmp_path: Path, layer: object) -> None:
    assert isinstance(layer, type(LAYERS[0]))
    finding = examined(tmp_path, **{layer.trial: "unshare: No"})[layer.name]
    assert finding.level in (Severity.WARN, Severity.FAIL)
    assert finding.found == "unshare: No"
    assert finding.advice.endswith(".")


def test_what_only_follows_from_another_failure_is_advised_once(tmp_path: Path) -> None:
    refused = dict.fromkeys(("userns", "namespaces", "view", "tmpfs", "locks"), "refused")
    found = examined(tmp_path, **refused)
    assert "seccomp=FILE" in found["user namespace"].advice
    after = {found[name].advice for name in ("namespaces", "private view", "scratch", "file locks")}
    assert after == {"As for the user namespace."}
    found = examined(tmp_path, namespaces="refused", view="refused", tmpfs="refused")
    assert "seccomp=FILE" in found["namespaces"].advice
    assert found["scratch"].advice == "As for the namespaces."


def test_a_host_that_only_lacks_a_lock_broker_is_told_what_it_takes(tmp_path: Path) -> None:
    finding = examined(tmp_path, locks="seccomp was refused")["file locks"]
    assert finding.level is Severity.WARN
    assert all(word in finding.advice for word in ("Linux 5.6", "pidfd_getfd", "process_vm_readv", "NEW_LISTENER"))


def test_landlock_says_what_its_version_lacks(tmp_path: Path) -> None:
    first = examined(tmp_path, abi=1)["Landlock"]
    assert first.level is Severity.WARN
    assert first.found.startswith(
        "ABI 1, which does not handle moving files between folders, truncating files that may"
    )
    assert "counts only together with the private view" in first.found
    assert "6.2" in first.advice
    third = examined(tmp_path, abi=3)["Landlock"]
    assert (third.level, third.advice) == (Severity.OK, "")
    assert "truncating" not in third.found
    assert examined(tmp_path, abi=7)["Landlock"].found == "ABI 7"


def test_root_hears_that_its_processes_are_not_counted(tmp_path: Path) -> None:
    assert "RLIMIT_NPROC" in examined(tmp_path, uid=0)["rlimits"].found
    assert "RLIMIT_NPROC" not in examined(tmp_path, uid=1000)["rlimits"].found


def test_advice_follows_the_hosts_switches(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()
    red_hat = host_with(tmp_path / "a", proc__sys__user__max_user_namespaces="0")
    assert "`sysctl -w user.max_user_namespaces=15000`" in for_namespaces(red_hat, python)
    debian = host_with(tmp_path / "b", proc__sys__kernel__unprivileged_userns_clone="0")
    assert "`sysctl -w kernel.unprivileged_userns_clone=1`" in for_namespaces(debian, python)
    docker = host_with(tmp_path / "c", **{".dockerenv": ""})
    assert "--security-opt seccomp=FILE" in for_namespaces(docker, python)
    assert "--privileged" in for_namespaces(docker, python)
    unknown = for_namespaces(host_with(tmp_path / "d", proc__sys__user__max_user_namespaces="1000"), python)
    assert "RestrictNamespaces=" in unknown
    assert "sysctl" not in unknown


def test_apparmor_is_advised_a_profile_for_the_interpreter(tmp_path: Path) -> None:
    ubuntu = host_with(tmp_path, proc__sys__kernel__apparmor_restrict_unprivileged_userns="1")
    advice = for_namespaces(ubuntu, Path("/usr/bin/python3.12"))
    assert "`install -D /usr/bin/python3.12 /opt/gatewright/bin/python3.12`" in advice
    assert "`gatewright python use /opt/gatewright/bin/python3.12`" in advice
    own = 'abi <abi/4.0>, profile gatewright "/opt/gatewright/bin/python3.12" flags=(unconfined) { userns, }'
    assert own in advice
    advice = for_namespaces(ubuntu, Path("/opt/gatewright/bin/python3.12"))
    assert own in advice
    assert "install -D" not in advice
    assert "apparmor_parser -r" in advice
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in advice


def test_landlock_is_switched_on_at_boot(tmp_path: Path) -> None:
    off = host_with(tmp_path / "off", sys__kernel__security__lsm="lockdown,capability,yama,apparmor")
    assert "lsm=landlock,lockdown,capability,yama,apparmor" in for_landlock(off)
    assert "5.13" in for_landlock(host_with(tmp_path / "on", sys__kernel__security__lsm="landlock,yama"))
    assert "seccomp=FILE" in for_landlock(host_with(tmp_path / "box", **{"run__.containerenv": ""}))


def test_seccomp_is_for_one_architecture() -> None:
    assert "x86-64" in for_seccomp("aarch64")
    assert "CONFIG_SECCOMP_FILTER" in for_seccomp("x86_64")


def test_a_check_that_breaks_is_a_finding() -> None:
    def _broken() -> Finding:
        raise RuntimeError("no such thing")

    finding = careful(_broken, "_broken")
    assert (finding.level, finding.tried) == (Severity.FAIL, "broken")
    assert "no such thing" in finding.found


def test_a_finding_as_text() -> None:
    finding = Finding(level=Severity.WARN, tried="a thing", found="nothing", advice="Get one.", protects="It holds.")
    assert str(finding) == "warn  a thing: nothing\n      It holds.\n      Get one."
    assert str(Finding(level=Severity.OK, tried="a thing", found="there")) == "ok    a thing: there"


def promised(uid: int = 1000, *, abi: int = 7, policy: PolicySection | None = None, **failures: str) -> list[Finding]:
    """RESTRICTED's finding, then ADMIN's."""
    found = Findings(abi, WORKS | {"root_pidns": None} | failures)
    return list(promises(found, policy or PolicySection(), uid))


def test_the_promise_is_one_sentence_with_what_is_missing() -> None:
    full, _ = promised()
    assert (full.level, full.layer, full.advice) == (Severity.OK, "RESTRICTED", "")
    assert full.found == "full: namespaces, Landlock and seccomp hold every script."
    core, _ = promised(userns="unshare: No")
    assert core.level is Severity.OK
    assert core.found.startswith("core: ")
    assert core.found.endswith("no user namespace (unshare: No).")
    refused, _ = promised(seccomp="seccomp was refused")
    assert refused.level is Severity.FAIL
    assert refused.found == "refused: no script runs, for want of: no seccomp (seccomp was refused)."
    assert "allow_degraded = true in [policy]" in refused.advice
    degraded, _ = promised(seccomp="seccomp was refused", policy=PolicySection(allow_degraded=True))
    assert degraded.level is Severity.WARN
    assert degraded.found.startswith("degraded: ")


def test_landlock_that_lets_files_be_truncated_is_no_core_by_itself() -> None:
    refused, _ = promised(abi=2, userns="unshare: No")
    assert refused.found.startswith("refused: ")
    assert "Landlock 2 lets files be truncated" in refused.found
    assert promised(abi=3, userns="unshare: No")[0].found.startswith("core: ")


def test_admin_is_off_as_root_unless_the_policy_says_so() -> None:
    _, off = promised(0)
    assert off.found.startswith("off: the engine runs as root")
    assert "admin_as_root = true" in off.advice
    _, allowed = promised(0, policy=PolicySection(admin_as_root=True))
    assert allowed.found.startswith("on, for administrators")
    _, ordinary = promised(1000)
    assert (ordinary.level, ordinary.advice) == (Severity.OK, "")
    _, loose = promised(1000, userns="unshare: No")
    assert loose.level is Severity.WARN
    assert "no pid namespace" in loose.found


@pytest.mark.parametrize(
    ("said", "level"), [("git version 2.31.9", Severity.WARN), ("git version 2.32.0", Severity.OK), ("", Severity.WARN)]
)
def test_a_git_that_is_too_old_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, level: Severity
) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    settings = Settings(engine=EngineSection(path=str(tmp_path)))
    monkeypatch.setattr(host, "Settings", lambda: settings)
    (finding,) = [check() for check in host.CHECKS if check.__name__ == "_git"]
    assert finding.level is level
    assert ("2.32 or newer" in finding.advice) is (level is Severity.WARN)
