"""The run history: what a run was given, the same again, and two runs side by side.

A replay is an ordinary run of the old text with the old inputs: role, mode, permissions and limits are judged anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.models.runs import (
    Mode,
    OutputChunk,
    ReplayRequest,
    RunComparison,
    RunFileInput,
    RunInfo,
    RunInputs,
    RunKind,
    RunRequest,
)
from engine.registry.runs import RUNS_COMPARE, RUNS_INPUTS, RUNS_REPLAY
from engine.services.access import Actor, Role, ServiceError, require
from engine.services.operations import implements, may
from engine.services.runs.active import ActiveRun
from engine.services.runs.inputs import ARGS, ARGV, BY_NAME, NOTHING, read_inputs, with_secret_arguments
from engine.services.runs.service import RunService
from engine.services.runs.uploads import BufferService
from engine.services.scripts.service import ScriptService
from engine.services.scripts.shared_code import SharedCode, kept_modules, shared_files
from engine.text_diff import unified
from store.state.database import StateDB

COMPARED_OUTPUT = 256 << 10
"""Characters of each run's output that are compared."""


class RunHistory:
    def __init__(
        self, runs: RunService, state: StateDB, scripts: ScriptService, shared: SharedCode, buffers: BufferService
    ) -> None:
        self._shared = shared
        self._runs = runs
        self._state = state
        self._scripts = scripts
        self._buffers = buffers

    @implements(RUNS_INPUTS)
    async def inputs(self, run_id: int, actor: Actor) -> RunInputs:
        """What a run was given, for those who see the run."""
        return await self._inputs(await self._runs.get(run_id, actor))

    @implements(RUNS_REPLAY)
    async def replay(
        self, run_id: int, request: ReplayRequest, actor: Actor, source: str, wait: float | None = None
    ) -> RunInfo:
        """Start a run of the same text with the same inputs, and return its first record.

        ``wait``: seconds to wait for its end, as ``RunService.run_to_end`` does.

        Raises:
            ServiceError: ``not_replayable`` when something of it is not kept, ``needs_secrets`` when ``request`` lacks
                a value that never is, ``needs_admin`` when it was an ADMIN run and ``request`` does not say so, or
                whatever an ordinary start says. Nothing was started.
        """
        run = await self.launch(run_id, request, actor, source, waits=wait is not None)
        return run.info if wait is None else await self._runs.ended_within(run, wait)

    async def launch(
        self, run_id: int, request: ReplayRequest, actor: Actor, source: str, *, waits: bool = False
    ) -> ActiveRun:
        """Like ``replay``, for callers in this process that want to follow the run; ``waits``: for its end."""
        may(actor, RUNS_REPLAY)
        old = await self._runs.get(run_id, actor)
        if old.mode is Mode.ADMIN and request.mode is not Mode.ADMIN:
            raise ServiceError(
                "needs_admin",
                f"Run {run_id} was an ADMIN run, and so its replay is one.",
                hint="Choose ADMIN for it: --mode admin, or F8 in the console.",
                status=403,
            )
        inputs = await self._inputs(old)
        if inputs.problem is not None:
            raise ServiceError("not_replayable", inputs.problem, hint=_hint(old), status=409)
        inputs = _with_secrets(inputs, request.secrets)
        kept = kept_modules({path: text.encode() for path, text in inputs.shared.items()})
        again = msgspec.structs.replace(
            await self._request(old, inputs),
            files=self._files(inputs, request.files, actor),
            buffers=self._handed_buffers(inputs, request.buffers, actor),
            stdin=self._stdin(inputs, request.stdin, actor),
        )
        if old.kind is RunKind.SCRIPT and not again.code and not await self._is_shared_now(inputs.code or "", old):
            require(actor, Role.AUTHOR, "run shared code that has changed since")
        queue_wait = self._runs.queue_wait_of(again, source) if waits else None
        return await self._runs.launch(again, actor, source, replay_of=run_id, shared=kept, queue_wait=queue_wait)

    @implements(RUNS_COMPARE)
    async def compare(self, run_id: int, other_id: int, actor: Actor) -> RunComparison:
        """Two runs: what they were given, their texts, results and outputs."""
        run, other = await self._runs.get(run_id, actor), await self._runs.get(other_id, actor)
        given = await self._inputs(run), await self._inputs(other)
        outputs = [await self._output(run, actor), await self._output(other, actor)]
        names = f"run {run_id}", f"run {other_id}"
        notes = [found.problem for found in given if found.problem is not None]
        notes += [
            f"Not all of the output of run {info.id} is compared."
            for info, text in zip((run, other), outputs, strict=True)
            if not info.output_complete or len(text) >= COMPARED_OUTPUT
        ]

        def differences() -> RunComparison:
            return RunComparison(
                run=run,
                other=other,
                inputs=unified(_shown(given[0]), _shown(given[1]), *names),
                code=_code_difference(given[0], given[1], *names),
                result=unified(_result(run), _result(other), *names),
                output=unified(outputs[0], outputs[1], *names),
                notes=notes,
            )

        return await asyncio.to_thread(differences)

    async def _inputs(self, run: RunInfo) -> RunInputs:
        await self._runs.recorder.flush()  # it may have begun a moment ago
        text = await self._state.inputs.of(run.id)
        code = await self._state.inputs.code(run.code_sha256)
        shared = await self._state.inputs.shared(run.id) if run.shared else {}
        lost = [file.path for file in run.shared if file.path not in shared]
        problem = None
        if run.kind is RunKind.RENDER:
            problem = f"Run {run.id} was a batch, and its documents are not kept: render them again."
        elif run.inputs_sha256 is None:
            problem = f"Run {run.id} is of a time when inputs were not kept."
        elif text is None and run.inputs_sha256 != NOTHING:
            problem = f"The inputs of run {run.id} are not kept: they were too large, or the disk was full."
        elif code is None and run.kind is not RunKind.CALL:
            problem = f"The text of run {run.id} is not kept: it was too large, or the disk was full."
        elif code is not None and not _is_utf8(code):
            problem = f"The text of run {run.id} is not UTF-8."
        elif lost:
            problem = f"The text of {', '.join(lost)}, which run {run.id} could import, is not kept: the disk was full."
        found = read_inputs(text)
        if problem is None and any(one.place == ARGS for one in found["secrets"]):
            problem = f"The positional arguments of run {run.id} held a secret, so they are not kept."
        return RunInputs(
            run_id=run.id,
            code_sha256=run.code_sha256,
            code=None if code is None else code.decode("utf-8", "replace"),
            shared={path: text.decode() for path, text in sorted(shared.items())},
            inputs_sha256=run.inputs_sha256,
            problem=problem,
            **found,
        )

    async def _request(self, old: RunInfo, inputs: RunInputs) -> RunRequest:
        """The request that ``old`` was, with what is kept of it: without files, buffers and standard input."""
        module, _, function = old.name.rpartition(".") if old.kind is RunKind.CALL else ("", "", "")
        script = old.name if old.kind is RunKind.SCRIPT else ""
        # The saved text needs less of a role than a text that somebody sends, and it may have been disabled since.
        saved = bool(script) and await self._is_saved(script, old.code_sha256)
        return RunRequest(
            kind=old.kind,
            code="" if saved else inputs.code or "",
            module=module,
            function=function,
            script=script,
            params=inputs.params,
            args=inputs.args,
            kwargs=inputs.kwargs,
            variables=inputs.variables,
            argv=inputs.argv,
            entrypoint=inputs.entrypoint,
            environment=inputs.environment,
            python=inputs.python,
            mode=old.mode,
            timeout=old.timeout,
            name=None if script else old.name,
        )

    async def _is_shared_now(self, code: str, old: RunInfo) -> bool:
        """Whether the project's shared code, as far as a text imports it, is that of a run."""
        try:
            now = await self._shared.used_by(code.encode())
        except ServiceError:
            return False
        return shared_files(now) == old.shared

    async def _is_saved(self, path: str, sha256: str) -> bool:
        try:
            found = await self._scripts.source(path, allow_problem=True)
        except ServiceError:
            return False
        return found.info.path == path and hashlib.sha256(found.data).hexdigest() == sha256

    def _files(self, inputs: RunInputs, given: Mapping[str, str], actor: Actor) -> dict[str, str]:
        """Return a buffer for each file that the run had: one that is given, or one that is still held."""
        return self._handed("file", inputs.run_id, inputs.files, given, actor)

    def _handed_buffers(self, inputs: RunInputs, given: Mapping[str, str], actor: Actor) -> dict[str, str]:
        """Return the same for each buffer."""
        return self._handed("buffer", inputs.run_id, inputs.buffers, given, actor)

    def _handed(
        self, kind: str, run_id: int, had: Sequence[RunFileInput], given: Mapping[str, str], actor: Actor
    ) -> dict[str, str]:
        unknown = given.keys() - {one.parameter for one in had}
        if unknown:
            raise ServiceError("bad_params", f"Run {run_id} was given no {kind} {min(unknown)!r}.")
        return {
            one.parameter: self._buffer(
                run_id,
                one,
                given.get(one.parameter),
                actor,
                told=f"The file given as {one.parameter!r}" if kind == "file" else f"The buffer {one.parameter!r}",
                lost=f"The file {one.name!r}" if kind == "file" else f"The buffer {one.parameter!r}",
                how=f"--{kind} {one.parameter}=PATH",
            )
            for one in had
        }

    def _stdin(self, inputs: RunInputs, given: str | None, actor: Actor) -> str | None:
        """A buffer of the standard input that the run had; None if it had none."""
        if inputs.stdin is None:
            if given is not None:
                raise ServiceError("bad_params", f"Run {inputs.run_id} was given no standard input.")
            return None
        told = "The standard input"
        return self._buffer(inputs.run_id, inputs.stdin, given, actor, told=told, lost=told, how="--stdin < FILE")

    def _buffer(
        self, run_id: int, file: RunFileInput, given: str | None, actor: Actor, *, told: str, lost: str, how: str
    ) -> str:
        """A buffer with what ``file`` was; the last arguments are how it is called, and how it is handed over."""
        if given is not None:
            if self._buffers.info(given, actor).sha256 != file.sha256:
                raise ServiceError(
                    "not_the_same",
                    f"{told} is not the one that run {run_id} had: its content differs.",
                    hint="Run the script anew with it.",
                    status=409,
                )
            return given
        if (held := self._buffers.held(file.name, file.sha256, actor)) is None:
            raise ServiceError(
                "not_replayable",
                f"{lost} of run {run_id} is not kept: uploads last ten minutes.",
                hint=f"Hand it over again: {how}.",
                status=409,
            )
        return held

    async def _output(self, run: RunInfo, actor: Actor) -> str:
        """The beginning of what a run wrote, both streams in order."""
        parts: list[str] = []
        size = after = 0
        while size < COMPARED_OUTPUT:
            page = await self._runs.output(run.id, actor, after=after)
            if not page.chunks:
                break
            parts += map(_text, page.chunks)
            size += sum(len(chunk.text) for chunk in page.chunks)
            after = page.next_seq
        return "".join(parts)[:COMPARED_OUTPUT]


def _code_difference(given: RunInputs, other: RunInputs, *names: str) -> str:
    """The difference of two runs' texts, then of their shared code, file by file."""
    one, two = names
    parts = [unified(given.code or "", other.code or "", one, two)]
    parts += [
        unified(given.shared.get(path, ""), other.shared.get(path, ""), f"{one} {path}", f"{two} {path}")
        for path in sorted(given.shared.keys() | other.shared.keys())
    ]
    return "\n".join(filter(None, parts))


def _with_secrets(inputs: RunInputs, given: Mapping[str, Any]) -> RunInputs:
    """What a run was given with the values that are not kept, as they are given now."""
    run_id, names = inputs.run_id, list(dict.fromkeys(one.name for one in inputs.secrets))
    unknown = given.keys() - set(names)
    if unknown:
        raise ServiceError("bad_params", f"Run {run_id} was given no secret {min(unknown)!r}.")
    missing = [name for name in names if name not in given]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise ServiceError(
            "needs_secrets",
            f"Run {run_id} was given {', '.join(map(repr, missing))}, which {are} secret and so not kept.",
            hint=f"Give it again: -p {missing[0]} asks for it, --param-file {missing[0]}=PATH reads it.",
            status=409,
        )
    complete = {
        place: getattr(inputs, place) | {one.name: given[one.name] for one in inputs.secrets if one.place == place}
        for place in BY_NAME
    }
    arguments = {one.name: given[one.name] for one in inputs.secrets if one.place == ARGV}
    if not_text := next((name for name, value in arguments.items() if not isinstance(value, str)), None):
        raise ServiceError("bad_params", f"The secret {not_text!r} of run {run_id} was an argument, which is text.")
    return msgspec.structs.replace(inputs, argv=with_secret_arguments(inputs.argv, arguments), **complete)


def _text(chunk: OutputChunk) -> str:
    return chunk.text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _hint(run: RunInfo) -> str:
    if run.kind is RunKind.SCRIPT:
        return f"Run the script as it is now: gatewright run {shlex.quote(run.name)}"
    return "Run it anew with what you have."


def _shown(inputs: RunInputs) -> str:
    """Inputs with a line for each value, as they are compared."""
    found = {
        "params": inputs.params,
        "args": inputs.args,
        "kwargs": inputs.kwargs,
        "variables": inputs.variables,
        "argv": inputs.argv,
        "entrypoint": inputs.entrypoint,
        "environment": inputs.environment,
        "python": inputs.python,
        "files": {file.parameter: _file_shown(file) for file in inputs.files},
        "buffers": {buffer.parameter: _file_shown(buffer) for buffer in inputs.buffers},
        "stdin": None if inputs.stdin is None else _file_shown(inputs.stdin),
        "secrets": {f"{one.place}.{one.name}": one.hmac for one in inputs.secrets},
    }
    used = {name: value for name, value in found.items() if value}
    return json.dumps(used, indent=1, ensure_ascii=False, sort_keys=True) + "\n" if used else ""


def _file_shown(file: RunFileInput) -> str:
    return f"{file.name} {file.size} bytes, sha256 {file.sha256}"


def _result(run: RunInfo) -> str:
    """How a run ended, as it is compared."""
    lines = [f"outcome: {run.outcome or run.state}"]
    if run.exit_status:
        lines.append(f"exit status: {run.exit_status}")
    if run.has_value:
        lines.append(f"result: {json.dumps(run.value, indent=1, ensure_ascii=False, sort_keys=True)}")
    elif run.result is not None:
        lines.append(f"result: {run.result}")
    lines += [run.traceback.rstrip("\n")] if run.traceback else []
    lines += [f"note: {run.note}"] if run.note else []
    return "\n".join(lines) + "\n"
