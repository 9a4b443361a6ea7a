"""SELinux and AppArmor: what of them is enforced here, and what that means to an engine."""

from __future__ import annotations

from engine.doctor.finding import Finding, Severity
from engine.doctor.remedies import APPARMOR_SWITCH, HostSystem

FREE = frozenset({"unconfined_t", "unconfined_service_t", "initrc_t", "kernel_t"})
"""Domains that the targeted policy of SELinux confines in nothing that an engine does."""


def selinux(host: HostSystem) -> Finding:
    """Say whether SELinux enforces, and as what this process counts (selinux(8))."""
    tried = "SELinux"
    enforces = host.read("sys/fs/selinux/enforce")
    if enforces is None:
        return Finding(level=Severity.OK, tried=tried, found="not on this host")
    context = (host.read("proc/self/attr/current") or "").rstrip("\0")
    domain = "".join(context.split(":")[2:3]) or "unknown"
    if enforces != "1":
        return Finding(level=Severity.OK, tried=tried, found=f"permissive: it logs and refuses nothing ({domain})")
    if domain in FREE:
        return Finding(
            level=Severity.OK,
            tried=tried,
            found=f"enforcing; this process is not confined ({domain})",
            advice="For a service keep Gatewright and its Python below /opt or /usr/local, and run `restorecon -R` on "
            "the folder: a service may not execute what lies in a home folder.",
        )
    return Finding(
        level=Severity.WARN,
        tried=tried,
        found=f"enforcing; this process is confined as {domain}",
        advice="What is refused here may be its doing: `ausearch -m avc -ts recent` names it. Start the engine from a "
        "login, or as a service from below /opt, which are not confined; or allow what it names with audit2allow.",
    )


def apparmor(host: HostSystem) -> Finding:
    """Say whether AppArmor is on, and which profile this process has (apparmor(7))."""
    tried = "AppArmor"
    if host.read("sys/module/apparmor/parameters/enabled") != "Y":
        return Finding(level=Severity.OK, tried=tried, found="not on this host")
    told = host.read("proc/self/attr/apparmor/current")  # since Linux 5.8, beside other modules
    profile = (told if told is not None else host.read("proc/self/attr/current") or "").rstrip("\0")
    name, _, mode = profile.rpartition(" ") if profile.endswith(")") else (profile, "", "")
    if mode == "(enforce)":
        return Finding(
            level=Severity.WARN,
            tried=tried,
            found=f"on; this process has the profile {name}",
            advice="What is refused here may be its doing: `journalctl -k -g apparmor=` names it. In a container, "
            "start that with `--security-opt apparmor=unconfined`; else extend the profile.",
        )
    found = f"on; this process is {'not confined' if not mode else f'watched by the profile {name}, which only logs'}"
    if host.switch(APPARMOR_SWITCH) == "1":
        found += "; ordinary accounts have user namespaces only in programs whose profile says so"
    return Finding(level=Severity.OK, tried=tried, found=found)


def _selinux() -> Finding:
    return selinux(HostSystem())


def _apparmor() -> Finding:
    return apparmor(HostSystem())


CHECKS = (_selinux, _apparmor)
