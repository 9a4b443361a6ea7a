"""Which layers a host gets for what its trials found, which level is promised, and when RESTRICTED refuses."""

from __future__ import annotations

import itertools

import pytest

from engine.models.runs import Mode
from engine.sandbox.plan import Findings, Level, PlannedLayers, admin_plan, restricted_plan

NO_VIEW = "no private view of the files, so no chmod, utime or links in the scratch folder"
TRIALS = ("userns", "namespaces", "tmpfs", "view", "landlock", "seccomp", "pidfd", "root_pidns", "locks")


def host(*lacking: str, abi: int = 7) -> Findings:
    """A host on which every trial works but these."""
    return Findings(abi, {name: f"no {name} here" if name in lacking else None for name in TRIALS})


def test_a_host_with_everything() -> None:
    plan = restricted_plan(host(), allow_degraded=False)
    assert (plan.level, plan.missing, plan.refusal) == (Level.FULL, (), None)
    assert plan.layers == PlannedLayers(userns=True, pidns=True, view=True, landlock=7, seccomp=True, locks=True)


@pytest.mark.parametrize(
    ("findings", "level", "layers"),
    [
        (host("view"), Level.FULL, PlannedLayers(userns=True, pidns=True, landlock=7, seccomp=True, locks=True)),
        (host("userns", "namespaces", "tmpfs", "view"), Level.CORE, PlannedLayers(landlock=7, seccomp=True)),
        (host("namespaces", "view"), Level.CORE, PlannedLayers(landlock=7, seccomp=True)),
        (host("tmpfs", "view"), Level.CORE, PlannedLayers(landlock=7, seccomp=True)),
        (
            host("landlock", abi=0),
            Level.CORE,
            PlannedLayers(userns=True, pidns=True, view=True, seccomp=True, locks=True),
        ),
        (
            host(abi=1),
            Level.FULL,
            PlannedLayers(userns=True, pidns=True, view=True, landlock=1, seccomp=True, locks=True),
        ),
        (
            host(abi=2),
            Level.FULL,
            PlannedLayers(userns=True, pidns=True, view=True, landlock=2, seccomp=True, locks=True),
        ),
        (
            host(abi=3),
            Level.FULL,
            PlannedLayers(userns=True, pidns=True, view=True, landlock=3, seccomp=True, locks=True),
        ),
    ],
)
def test_levels_that_run(findings: Findings, level: Level, layers: PlannedLayers) -> None:
    plan = restricted_plan(findings, allow_degraded=False)
    assert (plan.level, plan.layers) == (level, layers)
    assert plan.refusal is None


@pytest.mark.parametrize(
    ("findings", "level", "note"),
    [
        (
            host("locks"),
            Level.FULL,
            "This host holds scripts at level full: no locks on files, so no SQLite and no dbm. ",
        ),
        (
            host("locks", "landlock", abi=0),
            Level.CORE,
            "This host holds scripts at level core: no Landlock, no locks on files, so no SQLite and no dbm. ",
        ),
    ],
)
def test_a_host_without_a_lock_broker_runs_and_says_so(findings: Findings, level: Level, note: str) -> None:
    plan = restricted_plan(findings, allow_degraded=False)
    assert (plan.level, plan.layers.locks) == (level, False)
    assert plan.note is not None
    assert plan.note.startswith(note)
    assert plan.missing[-1] == "no locks on files (no locks here)"
    assert admin_plan(findings, root=False, admin_as_root=False).note is None


@pytest.mark.parametrize("lacking", ["userns", "namespaces", "tmpfs", "pidfd", "seccomp"])
def test_there_is_no_lock_broker_without_a_scratch_and_a_filter(lacking: str) -> None:
    plan = restricted_plan(host(lacking), allow_degraded=True)
    assert not plan.layers.locks
    assert plan.note is not None
    assert "locks" not in plan.note


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        (host("seccomp"), "no seccomp (no seccomp here)"),
        (host("landlock", "view", abi=0), "no Landlock"),
        (host("landlock", "userns", "namespaces", "tmpfs", "view", abi=0), "no Landlock"),
        (host("view", abi=2), "lets files be truncated"),
        (host("userns", "namespaces", "tmpfs", "view", abi=1), "lets files be truncated"),
        (host(*TRIALS, abi=0), "no seccomp"),
        (Findings(0, {}), "it was not tried"),
    ],
)
def test_a_missing_half_of_the_core_refuses_and_is_named(findings: Findings, word: str) -> None:
    plan = restricted_plan(findings, allow_degraded=False)
    assert plan.level is Level.REFUSED
    assert plan.refusal is not None
    assert word in plan.refusal
    lowered = restricted_plan(findings, allow_degraded=True)
    assert lowered.level is Level.DEGRADED
    assert lowered.refusal is None
    assert word in "; ".join(lowered.missing)


def test_no_combination_is_promised_more_than_it_has() -> None:
    for count in range(len(TRIALS) + 1):
        for lacking, abi in itertools.product(itertools.combinations(TRIALS, count), range(8)):
            plan = restricted_plan(host(*lacking, abi=abi), allow_degraded=False)
            layers = plan.layers
            files_held = layers.landlock >= 3 or layers.view
            if plan.level in (Level.FULL, Level.CORE):
                assert layers.seccomp
                assert files_held
            if plan.level is Level.FULL:
                assert layers.userns
                assert layers.pidns
                assert layers.landlock
            assert (plan.level is Level.REFUSED) == (not layers.seccomp or not files_held)
            assert plan.missing or plan.level is Level.FULL


def test_admin_is_off_as_root_unless_somebody_wants_it() -> None:
    plan = admin_plan(host(), root=True, admin_as_root=False)
    assert plan.refusal is not None
    assert "admin_as_root" in plan.refusal
    assert admin_plan(host(), root=True, admin_as_root=True).layers == PlannedLayers(pidns=True)
    assert admin_plan(host("root_pidns"), root=True, admin_as_root=True).layers == PlannedLayers(
        userns=True, pidns=True
    )


def test_admin_of_an_ordinary_account_needs_a_user_namespace_to_kill_whole_trees() -> None:
    assert admin_plan(host(), root=False, admin_as_root=False).layers == PlannedLayers(userns=True, pidns=True)
    plain = admin_plan(host("userns"), root=False, admin_as_root=False)
    assert (plain.mode, plain.level, plain.layers, plain.refusal) == (Mode.ADMIN, Level.DEGRADED, PlannedLayers(), None)
    assert "can miss some" in plain.missing[0]
    assert plain.note is not None
    assert "can miss some; no /dev/shm of their own" in plain.note


@pytest.mark.parametrize(
    ("findings", "lacking"),
    [
        (host("userns"), "core: no user namespace, no scratch folder"),
        (host("landlock", abi=0), "core: no Landlock"),
        (host("seccomp"), "degraded: no seccomp filters"),
        (host("seccomp", "view"), f"degraded: no seccomp filters, {NO_VIEW}"),
        (host("view"), f"full: {NO_VIEW}"),
        (
            host("userns", abi=2),
            "degraded: no Landlock that keeps files from being truncated, no user namespace, no scratch folder",
        ),
    ],
)
def test_what_runs_lack_is_one_sentence_that_says_what_to_do(findings: Findings, lacking: str) -> None:
    plan = restricted_plan(findings, allow_degraded=True)
    assert plan.note == f"This host holds scripts at level {lacking}. `gatewright doctor` says what to do."


def test_a_host_that_lacks_nothing_or_refuses_has_no_note() -> None:
    assert restricted_plan(host(), allow_degraded=False).note is None
    assert restricted_plan(host("seccomp"), allow_degraded=False).note is None
    assert admin_plan(host(), root=True, admin_as_root=True).note is None
    assert admin_plan(host(), root=True, admin_as_root=False).note is None
