"""Attacks against one pool: each in a plain process, each in RESTRICTED, and what the host saw of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import signs
from attack import LACKS, LONG, REACHED, Allowed, Attack, script
from bystanders import Engine, Listeners, Victim
from granted import GrantedFolder, approved
from outside import Outside, compiled_library, tag_of
from place import Place, token
from plain_run import PlainRunner
from pool_kit import ADMIN, INNOCENT, INNOCENT_VALUE, Done, environment, interpreter, make_job, parent_of, run, until
from watcher import watch

from engine.models.permissions import Access
from engine.models.runs import Outcome
from engine.pool.job import Limits, Profile
from engine.pool.pool import Pool

LIMITS = Limits(wall=LONG, memory=64 << 20, scratch=16 << 20, inodes=1024, output_stop=True)
SIBLING = "import time\nwhile True:\n    print('alive', len(secret), flush=True)\n    time.sleep(0.25)"
SIBLING_LIMITS = replace(LIMITS, wall=900.0)
RESTRICTED = Profile()
"""With the import rule: attacks get around it, positive controls live with it."""

EVIDENCE_SHOWN = 600


class Trial:
    """One place, attacked from one pool of two slots. A sibling's run holds one slot throughout, so attacks follow one
    another in the other.

    Args:
        own: A folder of the trial's own, for everything that it puts on the host.
        secret: What is in the environment of this process.
    """

    def __init__(self, own: Path, secret: str) -> None:
        folder = own / "place"
        self._elsewhere = own / "elsewhere"
        for made in (folder, self._elsewhere, own / "plain"):
            made.mkdir()
        self._granted = GrantedFolder(own / "granted")
        tokens = {name: token() for name in ("sibling", "victim", "engine")} | {"environ": secret}
        self._place = Place(folder, environment().packages, tokens, tag_of(own))
        self._listeners = Listeners(folder, f"own-{os.getpid()}")
        self._place.pristine = self._place.snapshot()
        self._victim = Victim(tokens["victim"], self._place.secret)
        self._engine = Engine(tokens["engine"])
        self._outside = Outside(self._place.tag, self._place.key, self._elsewhere)
        self._library = compiled_library()
        stray = fcntl.fcntl(self._place.descriptor, fcntl.F_DUPFD, 100)
        variables = {"GATEWRIGHT_SECRET": secret, "PATH": "/usr/bin:/bin"}
        self._plain = PlainRunner(interpreter(), stray, variables, own / "plain")
        given = {"secret": tokens["sibling"]}
        self._sibling = make_job(SIBLING, limits=SIBLING_LIMITS, variables=given, profile=RESTRICTED)

    @contextlib.asynccontextmanager
    async def against(self, pool: Pool) -> AsyncIterator[None]:
        """While the body runs, so does the sibling; afterwards it must still be alive."""
        self._pool = pool
        ending = self._pool.submit(self._sibling)
        await until(lambda: self._sink.stdout, "the sibling is alive")
        self._descriptors = len(os.listdir("/proc/self/fd"))
        try:
            yield
        finally:
            self._victim.close()
            heard = len(self._sink.chunks)
            if not ending.done():
                await until(lambda: len(self._sink.chunks) > heard + 1, "the sibling is still alive")
                self._pool.cancel(self._sibling.run_id)
            outcome = (await ending).outcome
            assert outcome is Outcome.CANCELLED, f"the sibling's run ended as {outcome}"

    @property
    def _sink(self) -> Any:
        return self._sibling.sink

    async def in_restricted(self, attack: Attack) -> dict[str, Any]:
        """What came of an attack in RESTRICTED, and of the innocent run after it."""
        return await self._run_sandboxed(attack) | {"after": await self._next_run(self._profile(attack))}

    async def in_plain(self, attack: Attack) -> dict[str, Any]:
        """What came of it without a sandbox."""
        sources = [script(code) for code in (attack.code, attack.then) if code]
        variables = {"place": self._for_scripts(plain=True)}
        group = os.getpgid(self._victim.process.pid)
        done = await self._plain.run(sources, variables, attack.wall, group, watched=attack.watched)
        found = signs.of_plain(done, self._place.tokens) + self._effects()
        return {
            "signs": found, "lacks": LACKS in done.evidence, "reached": REACHED in done.evidence,
            "evidence": done.evidence[-EVIDENCE_SHOWN:], "took": round(done.duration, 3),
        }  # fmt: skip

    async def in_admin(self, pool: Pool, attack: Attack) -> dict[str, Any]:
        """What came of it in an administrator's run, which only has to leave the host as it was and to stay small."""
        limits = replace(LIMITS, wall=attack.wall)
        given = {"place": {"plain": False, "tag": self._place.tag}}
        done = await run(pool, script(attack.code), limits=limits, wall=attack.wall, variables=given, profile=ADMIN)
        evidence = signs.evidence_of(done)
        return {
            "signs": signs.of_text(evidence, self._place.tokens) + self._outside.signs(), "outcome": done.outcome,
            "reached": REACHED in evidence, "evidence": evidence[-EVIDENCE_SHOWN:],
        }  # fmt: skip

    async def _run_sandboxed(self, attack: Attack) -> dict[str, Any]:
        found, evidence, took, outcome = [], "", 0.0, ""
        for code in (attack.code, attack.then):
            if not code:
                continue
            start = time.monotonic()
            async with watch(os.getpid(), really=attack.watched) as measures:
                done = await self._run(script(code), attack)
            took = time.monotonic() - start
            found += signs.of_sandboxed(done, measures, took, attack, self._place.tokens) + self._effects()
            evidence += signs.evidence_of(done)
            outcome = outcome or done.outcome
        return {
            "signs": found, "outcome": outcome, "reached": REACHED in evidence,
            "evidence": evidence[-EVIDENCE_SHOWN:], "took": round(took, 3), "delay": round(measures.delay, 3),
        }  # fmt: skip

    async def _run(self, source: str, attack: Attack) -> Done:
        limits = replace(LIMITS, wall=attack.wall)
        variables = {"place": self._for_scripts()}
        profile = self._profile(attack)
        return await run(self._pool, source, limits=limits, wall=attack.wall, variables=variables, profile=profile)

    def _profile(self, run: Attack | Allowed) -> Profile:
        """With the grants of ``run``, made for what lies in their places now."""
        grants = [self._granted.grant] if run.granted else []
        if run.read_granted:
            grants += [approved(Access.READ, path) for path in (self._place.readable, self._place.readable_file)]
        if isinstance(run, Attack) and run.file_granted:
            grants += [approved(Access.WRITE, self._place.writable_file)]
        return replace(RESTRICTED, grants=tuple(grants)) if grants else RESTRICTED

    async def _next_run(self, profile: Profile) -> str:
        """Whether the slot gives an innocent run its own right answer, in an empty folder."""
        done = await run(self._pool, INNOCENT, limits=LIMITS, profile=profile)
        right = (done.outcome, done.value, done.sink.chunks) == (Outcome.OK, INNOCENT_VALUE, [])
        return "" if right else f"the next run: {done.ending} {done.sink.chunks}"

    async def allowed(self, case: Allowed) -> dict[str, Any]:
        """The ending of a positive control."""
        given = {"granted": str(self._granted.path)} if case.granted else {}
        given |= {"readable": str(self._place.readable)} if case.read_granted else {}
        variables = case.variables | given
        done = await run(
            self._pool, case.code, limits=LIMITS, variables=variables, entrypoint=case.entrypoint,
            params=case.variables.get("params", {}), profile=self._profile(case),
        )  # fmt: skip
        if left := self._granted.signs():
            raise AssertionError(f"an allowed run left {left}")
        error = done.ending.error
        return {
            "outcome": done.outcome, "value": done.value, "message": error.message if error else "",
            "traceback": done.ending.traceback or "", "stdout": done.sink.stdout, "stderr": done.sink.stderr,
        }  # fmt: skip

    async def sweep(self) -> list[str]:
        """What is not as it was before the first attack."""
        await until_ready_but_one(self._pool)
        found = self._effects()
        if compiled_library() != self._library:
            found.append("the standard library's compiled modules")
        descriptors = len(os.listdir("/proc/self/fd"))
        if descriptors > self._descriptors + 1:
            found.append(f"{descriptors} descriptors of the engine, {self._descriptors} before")
        if restarts := sum(slot.restarts for slot in self._pool.info().slots):
            found.append(f"{restarts} zygotes had to be started again")
        return found

    def close(self) -> None:
        self._plain.close()
        self._listeners.close()
        self._outside.signs()

    def _for_scripts(self, *, plain: bool = False) -> dict[str, Any]:
        child = self._sink.starts[0][1]
        return {
            "plain": plain, "nice": os.nice(0), "nobody": 0x7FFFFFF0, "sibling_pid": child,
            "launcher_pid": parent_of(parent_of(child)), "elsewhere": str(self._elsewhere),
            "granted": str(self._granted.path),
            **self._place.for_scripts(), **self._listeners.for_scripts(), **self._victim.for_scripts(),
            **self._engine.for_scripts(),
        }  # fmt: skip

    def _effects(self) -> list[str]:
        """What has changed on the host since this was asked before; it is put right."""
        found = [f"host:tree {os.path.basename(path)}" for path in self._place.changes()]
        if found:
            self._place.build()
        found += [f"host:heard {name}" for name in self._listeners.heard()]
        found += self._granted.signs()
        return found + self._victim.harm() + self._engine.harm() + self._outside.signs()


async def until_ready_but_one(pool: Pool) -> None:
    """Every slot but the sibling's has its next child."""
    await until(lambda: pool.info().ready == pool.info().size - 1, "the slots are ready")
