"""What is wrong with a script's text before it runs: frontmatter, syntax, entrypoint, imports."""

from __future__ import annotations

import asyncio
import keyword
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from engine.models.checks import (
    CheckedFunction,
    CheckProblem,
    CheckReport,
    CheckRequest,
    ModuleReport,
    ModuleVerdict,
)
from engine.models.hidden import HIDDEN, code_point, find_hidden
from engine.models.macros import ENTRYPOINT
from engine.models.runs import Mode, Priority
from engine.registry.scripts import MODULES, SCRIPTS_CHECK
from engine.sandbox.modules import ImportPolicy
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements
from engine.services.scripts.examiner import LIMITS, Examined, Examiner, NotExamined
from engine.services.scripts.header_rules import HeaderRules
from engine.services.scripts.shared_code import SharedCode, vain_header
from engine.worker.imports import BLOCKED, MISSING
from engine.worker.tools import BOM, MAX_MESSAGE, MAX_NAME, MAX_PARAMS, MAX_PROBLEMS, one_line
from store.files.names import SHARED, is_shared
from store.frontmatter.block import Block, nearest_line
from store.frontmatter.coding import coding_problem, foreign_coding
from store.frontmatter.exposed_secrets import exposed_secrets
from store.frontmatter.known_keys import OWN
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import Frontmatter, parse
from store.frontmatter.toml_spans import Path
from store.sizes import describe_size

_BY_KEYWORD = frozenset({"positional_or_keyword", "keyword_only"})
_BY_POSITION = frozenset({"positional_or_keyword", "positional_only"})


class ScriptChecks:
    """The only place that judges a script's text and imports. It never parses one itself; the tools child does."""

    def __init__(
        self,
        examiner: Examiner,
        imports: ImportPolicy,
        rules: HeaderRules,
        shared: SharedCode | None = None,
        expect: Callable[[str, Frontmatter], Awaitable[None]] | None = None,
    ) -> None:
        """``expect`` hears of headers that ask for another environment: who has such a text checked may run it next."""
        self._examiner = examiner
        self._imports = imports
        self._rules = rules
        self._shared = shared
        self._expect = expect

    @implements(SCRIPTS_CHECK)
    async def check(self, request: CheckRequest, actor: Actor, source: str = "library") -> CheckReport:
        """Everything that can be said about a text without running it.

        A text that takes too long to parse has that as its problem, an error: nobody should take it for a good one.

        Args:
            request: The text, and its path for the sentences of the frontmatter.
            actor: Who asks.
            source: ``console``, ``cli``, ``rest`` or ``library``.

        Raises:
            ServiceError: ``too_large``, ``busy`` or ``sandbox_unavailable``.
        """
        data = request.text.encode("utf-8", "surrogatepass")
        if len(data) > LIMITS.code:
            raise ServiceError(
                "too_large",
                f"The text has {len(data):,} bytes; scripts have at most {describe_size(LIMITS.code)}.",
                hint="Hand large data to a run as a file.",
                status=413,
            )
        header, problems = await asyncio.to_thread(self._read, request.text, data, request.path)
        front = header.front
        priority = Priority.API if source == "rest" else Priority.INTERACTIVE
        try:
            findings = await self._examiner.examine(data, _entrypoint(front), actor.name, priority)
        except NotExamined as reason:
            return CheckReport(problems=[*problems, CheckProblem(message=str(reason))])
        problems += findings.problems
        if findings.listed:
            if not is_shared(request.path):
                problems += entrypoint_problems(
                    front, findings, header.line((*OWN, "entrypoint" if front.entrypoint else "kind"))
                )
                problems += self._async_problems(front, findings)
            problems += await asyncio.to_thread(self._import_problems, findings, request.path, front)
        if self._expect is not None and (front.environment or front.dependencies or front.requires_python):
            await self._expect(request.path, front)
        problems.sort(key=lambda problem: problem.severity != "error")
        return CheckReport(
            problems=sorted(problems[:MAX_PROBLEMS], key=lambda problem: (problem.line, problem.column)),
            functions=findings.functions,
            imports=sorted({found.name.partition(".")[0] for found in findings.imports}),
            notes=[*_elsewhere(request.path, findings), *start_notes(front, findings)],
        )

    @implements(MODULES)
    async def modules(self, name: str, actor: Actor, source: str = "library") -> ModuleReport:
        """Say what scripts may import, by the rule of their own processes.

        Args:
            name: One module, which the scripts' own interpreter then looks for; nothing for all of them.
            actor: Who asks.
            source: ``console``, ``cli``, ``rest`` or ``library``.

        Raises:
            ServiceError: ``bad_module`` for what can stand in no import.
        """
        if name:
            if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
                raise ServiceError("bad_module", f"{name!r} is not the name of a module, such as csv or xml.etree.")
            verdicts = [await self._verdict_here(name, actor, source)]
        else:
            verdicts = [self._verdict(each) for each in self._imports.listed()]
        policy = self._imports.settings
        return ModuleReport(
            preset=policy.preset, added=sorted(policy.modules), lifted=sorted(policy.lifted), modules=verdicts
        )

    async def _verdict_here(self, name: str, actor: Actor, source: str) -> ModuleVerdict:
        """As a run would have it: a project's own code comes before what is installed, but not what Python has."""
        shared = self._shared
        own = None if shared is None else await asyncio.to_thread(shared.judged, name)
        if own is not None and own[0]:
            return ModuleVerdict(name=name, origin=own[1], restricted=True, admin=True)
        lib = name.partition(".")[0] == SHARED
        origin = "" if lib else await self._origin(name, actor, source)
        if own is not None and (lib or origin == MISSING):
            return ModuleVerdict(
                name=name, restricted=False, admin=False, restricted_refusal=own[1], admin_refusal=own[1]
            )
        return self._verdict(name, origin)

    async def _origin(self, name: str, actor: Actor, source: str) -> str:
        """Where the scripts' interpreter has a module from: it is asked as about a text that imports it.

        Nothing if it cannot be asked now: what the policy says is an answer even so.
        """
        priority = Priority.API if source == "rest" else Priority.INTERACTIVE
        try:
            findings = await self._examiner.examine(f"import {name}".encode(), "", actor.name, priority)
        except (NotExamined, ServiceError):
            return ""
        return next((found.origin for found in findings.imports), "")

    def _verdict(self, name: str, origin: str = "") -> ModuleVerdict:
        restricted = self._imports.verdict(name, Mode.RESTRICTED, origin=origin)
        admin = self._imports.verdict(name, Mode.ADMIN, origin=origin)
        return ModuleVerdict(
            name=name,
            origin=origin,
            restricted=restricted is None,
            admin=admin is None,
            restricted_refusal=restricted or "",
            admin_refusal=admin or "",
        )

    def _async_problems(self, front: Frontmatter, findings: Examined) -> Iterator[CheckProblem]:
        """Warn of an async entrypoint where the module that would run it is refused."""
        sentence = self._imports.verdict("asyncio", Mode.RESTRICTED)
        if findings.entrypoint == "async" and sentence is not None:
            name = one_line(front.entrypoint or "", MAX_NAME)
            line = next((function.line for function in findings.functions if function.name == name), 1)
            message = f"The entrypoint {name} is async, and a run calls it by asyncio.run. {sentence}"
            yield CheckProblem(message=message, line=line, severity="warning")

    def _import_problems(self, findings: Examined, path: str, front: Frontmatter) -> list[CheckProblem]:
        """Warnings, not errors: the script may expect the refusal, or be meant for ADMIN mode. Each is given once.

        Blocks.
        """
        first: dict[str, int] = {}
        opened = self._rules.opened(front)
        for found in findings.imports:
            if opened is None and found.origin == MISSING and found.name.partition(".")[0] not in BLOCKED:
                continue  # one of the packages that its header names, perhaps
            sentence = None if self._shared is None else self._shared.unlikely(found.name, path)
            if sentence is None:
                sentence = self._imports.verdict(found.name, Mode.RESTRICTED, found.parts, found.origin, opened or ())
            if sentence is not None:
                first.setdefault(sentence, found.line)
        return [CheckProblem(message=sentence, line=line, severity="warning") for sentence, line in first.items()]

    def _read(self, text: str, data: bytes, path: str) -> tuple[_Header, list[CheckProblem]]:
        """What a text says about itself, and what is wrong with it before it is parsed."""
        header = _Header.of(text, data, path)
        return header, [
            *self._header_problems(header),
            *_coding_problems(data),
            *_secret_problems(data),
            *_shared_problems(header, path),
            *hidden_problems(text),
        ]

    def _header_problems(self, header: _Header) -> Iterator[CheckProblem]:
        front = header.front
        if front.problem is not None:
            yield CheckProblem(message=front.problem, line=front.problem_line or header.line(front.problem_key))
        for problem in self._rules.problems(front):
            severity = "error" if problem.refused else "warning"
            yield CheckProblem(message=problem.sentence, line=header.line(problem.key), severity=severity)


@dataclass(frozen=True, slots=True)
class _Header:
    """What a text says about itself, and the lines where it does."""

    front: Frontmatter
    lines: Mapping[Path, int]

    @classmethod
    def of(cls, text: str, data: bytes, path: str) -> _Header:
        front = parse(text, path)
        try:
            block = None if front.problem_line is not None else Block.of(data)
        except FrontmatterError:
            block = None
        return cls(front, {(): 1} if block is None else block.key_lines())

    def line(self, key: Path) -> int:
        """The line, from 1, of a key or of what it stands in."""
        return nearest_line(self.lines, key)


def _elsewhere(path: str, findings: Examined) -> Iterator[str]:
    """What to know of a script that imports shared code, where it is run without this program."""
    if (
        "/" in path
        and not is_shared(path)
        and any(found.name.partition(".")[0] == SHARED for found in findings.imports)
    ):
        yield f"Outside Gatewright this script finds lib by PYTHONPATH: PYTHONPATH=scripts uv run scripts/{path}"


def _shared_problems(header: _Header, path: str) -> Iterator[CheckProblem]:
    sentence = vain_header(path, header.front)
    if sentence is not None:
        yield CheckProblem(message=sentence, line=header.line(()), severity="warning")


def _coding_problems(data: bytes) -> Iterator[CheckProblem]:
    found, problem = foreign_coding(data), coding_problem(data)
    if found is not None and problem is not None:
        yield CheckProblem(message=problem, line=found.line)


def _secret_problems(data: bytes) -> Iterator[CheckProblem]:
    """Warn of values in the header that everybody who reads the script has. They are not repeated."""
    for found in exposed_secrets(data):
        key = one_line(found.key, MAX_NAME)
        if not found.by_name:
            is_one = f"{key} looks like a password or a key"
        else:
            is_one = f"{key} is {'the value of a secret parameter' if found.param else 'a secret by its name'}"
        if found.param is None:
            how = "Make it a parameter with secret = true."
        elif found.by_name:
            name = one_line(found.param, MAX_NAME)
            how = f"Without a default -p {name} and the console ask for it; secret = false says that it is none."
        else:
            how = "Without a default it is asked for; secret = true keeps what it is given out of the records."
        sentence = (
            f"{is_one}, and all who can read the script or its history have it: take it out, and change it. {how}"
        )
        yield CheckProblem(message=sentence, line=found.line, severity="warning")


def hidden_problems(text: str) -> Iterator[CheckProblem]:
    """Warn of lines with characters that are not seen, once for each line and up to ``MAX_PROBLEMS`` times."""
    body = text.removeprefix(BOM)
    unix = body.replace("\r\n", "\n")
    lines = unix.replace("\r", "\n")  # as Python counts them; every character has the place that it has in ``unix``
    # Where every line ends by it, a carriage return is an ordinary line end. Where few do, editors show one line.
    searched = unix if "\n" in unix else lines
    number, start = 1, 0
    for _ in range(MAX_PROBLEMS):
        place = find_hidden(searched, start)
        if place < 0:
            return
        number += lines.count("\n", start, place)
        column = place - (lines.rfind("\n", 0, place) + 1) + (len(text) - len(body) if number == 1 else 0)
        end = lines.find("\n", place) % (len(lines) + 1)  # the text's end where there is none
        if searched[place] == "\r":
            sentence = "A carriage return alone ends this line for Python; an editor may show one line with the next."
        else:
            seen = HIDDEN.findall(searched, place, min(end, place + MAX_MESSAGE))
            sentence = _hidden_sentence(list(dict.fromkeys(seen)))
        yield CheckProblem(message=sentence, line=number, column=column, severity="warning")
        number, start = number + 1, end + 1


def _hidden_sentence(characters: list[str]) -> str:
    named = [f"{code_point(c)}{_name_of(c)}" for c in characters[:3] if c != "\r"]
    escape = characters[0].encode("unicode_escape").decode("ascii")
    return (
        f"This line holds {', '.join(named)}, which nobody sees: what runs may not be what it looks like. "
        f"Take that out, or write it as the escape {escape}."
    )


def _name_of(character: str) -> str:
    name = unicodedata.name(character, "")
    return f" ({name.lower()})" if name else ""


def entrypoint_problems(front: Frontmatter, findings: Examined, line: int) -> Iterator[CheckProblem]:
    """What will go wrong when the run calls the entrypoint.

    Args:
        front: What the script says about itself.
        findings: What the parser found in it.
        line: Where the frontmatter names the entrypoint.
    """
    if front.kind == "macro":
        yield from _macro_problems(front, findings, line)
        return
    if front.entrypoint is None:
        return
    name = one_line(front.entrypoint, MAX_NAME)
    if findings.entrypoint == "missing":
        sentence = f"The script defines no function {name}, which its header names as the entrypoint."
        yield CheckProblem(message=sentence, line=line)
    if findings.guard and not findings.guard_calls:
        sentence = (
            f"A run leaves this block out: it calls the entrypoint {name}, and __name__ is the script's own name then. "
            f"python3 and uv run do the block, and call {name} only if it says so."
        )
        yield CheckProblem(message=sentence, line=findings.guard, severity="warning")
    function = next((function for function in findings.functions if function.name == name), None)
    if function is None or findings.entrypoint not in ("function", "async", "generator"):
        return
    if findings.entrypoint == "generator":
        yield _wrong(
            function, "holds a yield, so a run fails: calling it runs none of its lines. Return a list instead"
        )
    if len(function.params) < MAX_PARAMS:
        yield from _param_problems(front, function)


def _entrypoint(front: Frontmatter) -> str:
    """Return the name of the function that is called, or nothing."""
    return front.entrypoint or (ENTRYPOINT if front.kind == "macro" else "")


def _macro_problems(front: Frontmatter, findings: Examined, line: int) -> Iterator[CheckProblem]:
    """Say what will go wrong when a macro is called for a tag, with its parameters and the context by position."""
    name = one_line(_entrypoint(front), MAX_NAME)
    call = f"{name}(params, context)"
    if findings.entrypoint == "missing":
        yield CheckProblem(message=f"A macro is called for each tag as {call}, and there is no {name}.", line=line)
    function = next((function for function in findings.functions if function.name == name), None)
    if function is None or findings.entrypoint not in ("function", "async", "generator"):
        return
    if findings.entrypoint != "function":
        why = "is async" if findings.entrypoint == "async" else "holds a yield"
        yield _wrong(function, f"{why}, so a call of it returns no text")
    by_position = [param for param in function.params if param.kind in _BY_POSITION]
    any_number = any(param.kind == "var_positional" for param in function.params)
    required = sum(param.required for param in by_position)
    alone = [param.name for param in function.params if param.required and param not in by_position]
    if len(function.params) < MAX_PARAMS and (alone or required > 2 or (len(by_position) < 2 and not any_number)):
        yield _wrong(function, f"does not take what a macro is called with: {call}")


def start_notes(front: Frontmatter, findings: Examined) -> Iterator[str]:
    """Say what starts the script in a run and what under plain Python, where that takes two things."""
    if front.kind == "macro":
        return
    if front.entrypoint is None or findings.entrypoint not in ("function", "async", "other"):
        return
    name = one_line(front.entrypoint, MAX_NAME)
    if findings.guard_calls:
        yield (
            f"A run calls the entrypoint {name} and leaves the block in line {findings.guard} out; "
            "python3 and uv run do the block."
        )
    elif not findings.guard:
        call = f"asyncio.run({name}())" if findings.entrypoint == "async" else f"{name}()"
        yield (
            f"A run calls the entrypoint {name}; python3 and uv run do so if the script ends with "
            f'if __name__ == "__main__": {call}'
        )


def _param_problems(front: Frontmatter, function: CheckedFunction) -> Iterator[CheckProblem]:
    declared = {one_line(param.name, MAX_NAME) for param in front.params}
    takes = {param.name for param in function.params if param.kind in _BY_KEYWORD}
    takes_any = any(param.kind == "var_keyword" for param in function.params)
    for param in function.params:
        if not param.required:
            continue
        if param.kind == "positional_only":
            yield _wrong(function, f"takes {param.name} by position only, but params are passed by keyword")
        elif param.name not in declared and declared:
            yield _wrong(function, f"requires {param.name}, which the header does not declare as a param")
        elif param.name not in declared:
            # Without declared params a script takes whatever it is given, so this may be meant.
            yield _wrong(function, f"requires {param.name}, and the header declares no params", "warning")
    for name in sorted(declared - takes):
        if not takes_any:
            yield _wrong(function, f"does not take {name}, which the header declares as a param")


def _wrong(function: CheckedFunction, what: str, severity: str = "error") -> CheckProblem:
    return CheckProblem(message=f"The entrypoint {function.name} {what}.", line=function.line, severity=severity)
