"""What the sandbox will be here: its layers as the scripts' own interpreter finds them, and what follows for runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.config import ConfigError, PolicySection, Settings
from engine.doctor import layers
from engine.doctor.finding import Finding, Severity
from engine.doctor.layers import LayerTrials
from engine.paths import EnginePaths
from engine.sandbox import plan
from engine.sandbox.interpreters import UnusableInterpreter, interpreter_of
from engine.sandbox.plan import Findings, Plan, admin_plan, restricted_plan
from engine.sandbox.probe import FINDINGS_FILE, ProbeProblem, probe

PROMISES = {
    plan.Level.FULL: (Severity.OK, "namespaces, Landlock and seccomp hold every script"),
    plan.Level.CORE: (Severity.OK, "what keeps scripts from files, processes and the network holds; missing is"),
    plan.Level.DEGRADED: (Severity.WARN, "policy.allow_degraded lets scripts run without"),
    plan.Level.REFUSED: (Severity.FAIL, "no script runs, for want of"),
}
"""How grave a level of RESTRICTED is, and its sentence, which goes on with what is missing."""

ADVICE = {
    plan.Level.DEGRADED: "Do not run what you would not run as the engine's own account.",
    plan.Level.REFUSED: "See the findings above for what to enable. With allow_degraded = true in [policy] of the "
    "project's settings scripts run all the same, and every result says so.",
}


def examine(paths: EnginePaths | None) -> Iterator[Finding]:
    """The layers, then what RESTRICTED and ADMIN runs are here, by the project's policy if there is a project.

    The next engine of the project goes by what was found now: who enabled something need not wait for the next boot.
    """
    tried = "the scripts' Python"
    try:
        interpreter = _interpreter(paths)
        tried = f"what {interpreter} can put on"
        findings = probe(interpreter, kept=_kept(paths), fresh=True)
    except (ProbeProblem, UnusableInterpreter, OSError) as problem:
        advice = "Scripts run with this Python, so let the engine's account read and execute it."
        yield Finding(level=Severity.FAIL, tried=tried, found=str(problem), advice=advice, layer="interpreter")
        return
    uid = os.geteuid()
    yield from layers.examine(LayerTrials(findings.abi, findings.failures, interpreter, uid))
    yield from promises(findings, policy_of(paths), uid)


def promises(findings: Findings, policy: PolicySection, uid: int) -> Iterator[Finding]:
    """What follows from the layers for the runs of both modes."""
    yield _restricted(restricted_plan(findings, allow_degraded=policy.allow_degraded))
    yield _admin(admin_plan(findings, root=uid == 0, admin_as_root=policy.admin_as_root))


def policy_of(paths: EnginePaths | None) -> PolicySection:
    """The project's, or the default where there is none that could be read: the settings' own finding tells that."""
    if paths is None:
        return PolicySection()
    try:
        return Settings.load(paths.home / "settings.toml").policy
    except ConfigError:
        return PolicySection()


def _kept(paths: EnginePaths | None) -> Path | None:
    return None if paths is None or not paths.private.is_dir() else paths.private / FINDINGS_FILE


def _interpreter(paths: EnginePaths | None) -> Path:
    """Return the scripts' own; before there is one, the Python that it would be made from.

    Raises:
        UnusableInterpreter: It cannot be told, or not be trusted.
    """
    own = None if paths is None else paths.home / "envs" / "default"
    if own is not None and os.path.lexists(own / "bin" / "python"):
        interpreter = interpreter_of(own)
        if os.access(interpreter, os.X_OK):
            return interpreter
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def _restricted(restricted: Plan) -> Finding:
    level, sentence = PROMISES[restricted.level]
    missing = "; ".join(restricted.missing)
    return Finding(
        level=level,
        tried="RESTRICTED runs",
        found=f"{restricted.level}: {sentence}{f': {missing}' if missing else ''}.",
        advice=ADVICE.get(restricted.level, ""),
        layer="RESTRICTED",
        protects="What scripts get unless an administrator chooses otherwise for a run.",
    )


def _admin(admin: Plan) -> Finding:
    found = {
        plan.Level.REFUSED: f"off: {'; '.join(admin.missing)}.",
        plan.Level.DEGRADED: f"on, for administrators, but {'; '.join(admin.missing)}.",
    }
    advice = {
        plan.Level.REFUSED: "Let an ordinary account own the project; or set admin_as_root = true in [policy] of its "
        "settings, which gives administrators a shell as root.",
        plan.Level.DEGRADED: "Enable user namespaces, as said above.",
    }
    return Finding(
        level=Severity.WARN if admin.level is plan.Level.DEGRADED else Severity.OK,
        tried="ADMIN runs",
        found=found.get(admin.level, "on, for administrators; nothing holds such a run back."),
        advice=advice.get(admin.level, ""),
        layer="ADMIN",
        protects="A shell as the engine's account, by explicit choice for each run.",
    )
