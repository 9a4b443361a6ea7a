"""The keys of a frontmatter as the form shows them, and what a form's state means as changes of keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.models.scripts import ParamType
from tui.text.typed_values import FieldKind

KINDS = ("utility", "macro")
YES_NO = ("yes", "no")

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A line of the form.

    Attributes:
        key: As ``scripts set`` takes it.
        kind: How the line is read.
        help: What it is for, and what counts without it.
        choices: If it is one of a few.
    """

    key: str
    kind: FieldKind
    help: str
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]


ITSELF = (
    Field("title", FieldKind.TEXT, "what lists show; else made from the file's name"),
    Field("description", FieldKind.TEXT, "one line about what it does"),
    Field("kind", FieldKind.TEXT, "a macro fills tags in documents; else utility", KINDS),
    Field("entrypoint", FieldKind.TEXT, "the function that is called with the parameters; else the text just runs"),
    Field("enabled", FieldKind.FLAG, "no: it cannot be run; else yes", YES_NO),
    Field("tags", FieldKind.TEXTS, "words to find it by, with commas between them"),
    Field("preload", FieldKind.TEXTS, "modules that its process has imported before it starts"),
    Field("leave_processes", FieldKind.FLAG, "yes: what detaches itself in ADMIN goes on; else it is ended", YES_NO),
    Field("requires-python", FieldKind.TEXT, "such as >=3.11"),
    Field("dependencies", FieldKind.REQUIREMENTS, "packages, such as pandas>=2,<3, numpy"),
    Field("environment", FieldKind.TEXT, "the name of the environment that it runs in; else the default one"),
)
LIMITS = (
    Field("limits.timeout", FieldKind.NUMBER, "seconds; else 30"),
    Field("limits.memory", FieldKind.TEXT, "such as 1 GiB; else 512 MiB"),
    Field("limits.output", FieldKind.TEXT, "what is kept of its output, such as 4 MiB; else 1 MiB"),
    Field("limits.result", FieldKind.TEXT, "what it may return, such as 4 MiB; else 1 MiB"),
    Field("limits.scratch", FieldKind.TEXT, "its own folder for files, such as 128 MiB; else 64 MiB"),
    Field("limits.open_files", FieldKind.COUNT, "how many files it may have open; else 64"),
    Field("limits.parallel", FieldKind.COUNT, "how many runs of it may go on at once; else any number"),
    Field("limits.output_stop", FieldKind.FLAG, "yes: more output ends a run; else its middle is not kept", YES_NO),
)
PERMISSIONS = (
    Field("permissions.read", FieldKind.TEXTS, "paths to read; an administrator approves them for exactly one text"),
    Field("permissions.write", FieldKind.TEXTS, "paths to write; likewise"),
    Field("permissions.secrets", FieldKind.TEXTS, "names of secrets that it may use; likewise"),
    Field("permissions.assistant", FieldKind.FLAG, "yes: it may ask the assistant; likewise", YES_NO),
)
OF_PARAM = ("type", "default", "help", "choices", "required", "secret")

_DEFAULTS = {
    ParamType.INT.value: FieldKind.COUNT,
    ParamType.FLOAT.value: FieldKind.NUMBER,
    ParamType.BOOL.value: FieldKind.FLAG,
    ParamType.LIST.value: FieldKind.VALUES,
}


def default_kind(param_type: str) -> FieldKind:
    """How the default of a parameter of that type is read."""
    return _DEFAULTS.get(param_type, FieldKind.TEXT)


@dataclass(frozen=True, slots=True)
class ParamDraft:
    """A parameter as the form has it.

    Attributes:
        name: What it is to be called.
        values: By key, without those that it is not to have.
        was: What the script calls it now; None for a new one.
        dropped: It is to be removed.
    """

    name: str
    values: Values
    was: str | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class FilledMeta:
    """What the user entered.

    Attributes:
        changes: New values by key, None for what is to be removed.
        texts: Lines that differ from what the script says, to be shown again.
        params: Parameters that do.
    """

    changes: Values
    texts: Mapping[str, str]
    params: tuple[ParamDraft, ...]


def drafts_of(values: Values) -> list[ParamDraft]:
    """The parameters among a script's keys, in their order."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key.startswith("params."):
            _, name, part = key.split(".", 2)
            found.setdefault(name, {})[part] = value
    return [ParamDraft(name, parts, was=name) for name, parts in found.items()]


def with_typed(drafts: Iterable[ParamDraft], typed: Sequence[ParamDraft]) -> list[ParamDraft]:
    """What a script has now, with what was typed for it before."""
    entered = {draft.was: draft for draft in typed}
    return [entered.get(draft.was, draft) for draft in drafts] + [draft for draft in typed if draft.was is None]


def is_changed(draft: ParamDraft, before: Values) -> bool:
    """Whether it differs from what the script has; ``before``: all its keys."""
    return draft.dropped or draft.was != draft.name or draft.values != _parts(draft.was, before)


def param_changes(drafts: Iterable[ParamDraft], before: Values) -> dict[str, Any]:
    """What the drafts change. Removals come first: another one may take the name."""
    removed: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for draft in drafts:
        old = _parts(draft.was, before)
        if draft.was is not None and (draft.dropped or draft.was != draft.name):
            removed[f"params.{draft.was}"] = None
            old = {}
        if draft.dropped:
            continue
        for part in OF_PARAM:
            if draft.values.get(part) != old.get(part):
                changed[f"params.{draft.name}.{part}"] = draft.values.get(part)
    return removed | changed


def _parts(name: str | None, values: Values) -> dict[str, Any]:
    start = f"params.{name}."
    return {key.removeprefix(start): value for key, value in values.items() if name and key.startswith(start)}
