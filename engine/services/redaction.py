"""Take secrets out of what the audit keeps for good, from wherever it was told: by name, by form, and by value.

Nothing that is told should hold one. This is for what slips through: an address with a password in a message, a file
that is named like a token.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from engine.services.masking import HIDDEN, Masks
from store.frontmatter.secret_names import names_a_secret, names_a_secret_argument
from store.state.audit import AuditEvent

OWN_NAMES = frozenset({"token", "keys", "assistant.key_file", "listen.tls_key"})
"""Names of details that sound like secrets and are none: a token's ID, names of what a script keeps, paths of files."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"#\d+ ")

_FORMS = re.compile(
    r"(?P<private>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"  # RFC 7468
    r"|(?P<own>(?<![^\W_])gw_[0-9a-f]{12}_)[\w.~+/=-]+"  # ours: the ID stays
    r"|(?P<scheme>\b(?:bearer|basic|digest|negotiate)\s+)[\w.~+/=-]{8,}"  # RFC 9110, section 11.6.2
    # RFC 3986, section 3.2.1; passwords have @ and / that should have been encoded, but no port is one. The bound
    # keeps a text of nothing but such beginnings from taking long.
    r"|(?P<uri>://)(?:[^\s/@:]*:(?!\d+/)[^\s@]{0,255}|[^\s/@]+)(?:@[^\s/@]*)*(?=@)"
    r"|(?P<user>(?:(?<=\s)|^)(?:-u|--user)\s+)[^\s:]+:\S+"  # curl(1)
    r"|(?P<known>(?<![^\W_])(?:AKIA|ASIA|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xox[abeoprs]-|sk[-_]|AIza"
    r"|hv[sbr]\.|npm_|pypi-|dckr_pat_|ya29\.|hooks\.slack\.com/services/|eyJ))[\w.~+/=-]{12,}",
    # AWS, GitHub, GitLab, Slack and others; JSON Web Tokens (RFC 7519)
    re.DOTALL | re.IGNORECASE,
)
"""What each alternative begins with tells what it is, and stays."""

_MARKS = (
    "=", "://", "--", "-u ", "gw_", "-----begin", "bearer", "basic", "digest", "negotiate", "akia", "asia", "ghp_",
    "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-", "sk_", "aiza", "hvs.", "hvb.", "hvr.",
    "npm_", "pypi-", "dckr_pat_", "ya29.", "hooks.slack.", "eyj",
)  # fmt: skip
"""Without one of these, in small letters, a text has none of these forms, nor a name with a value behind it."""

_HEADER = re.compile(
    r"""(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\r\n"']+)""",
    re.IGNORECASE,
)
"""A field of HTTP whose whole value is a secret, whatever stands in it (RFC 9110, 11.6.2; RFC 6265)."""

_GIVEN = re.compile(r"""(?<![\w.-])([\w.-]{1,100})(["']?\s*(?:=|:(?!//))\s*)""")
"""A name with what stands before its value, as command lines, addresses, settings and JSON write it."""

_VALUE = re.compile(r""""[^"]*"|'[^']*'|[^\s&;,"']+(?:[&;,](?![\w.-]+["']?\s*[=:])[^\s&;,"'}]+)*""")

_OPTION = re.compile(r"""(?<![\w-])(--?[A-Za-z][\w-]{0,100})(\s+)("[^"]*"|'[^']*'|[^\s"'-][^\s"']*)""")
"""An option with its value as the next word."""

ALSO_SECRET = frozenset({"signature", "sig"})
"""Names in addresses whose values are as good as passwords, such as those of signed downloads."""

_IN_A_TEXT = re.compile(r"[\w.-]'?\s*:(?!//)")
_NAMES = re.compile(r'"([^"]*)": ')


class Redactor:
    """Knows the values that must not be kept; those that were secret once count to the engine's end."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._masks = Masks()

    def know(self, values: Iterable[str]) -> None:
        """Hide these values from here on, in every spelling that ``Masks`` knows."""
        new = {value: value for value in values if value not in self._known}
        if new:
            self._known |= new
            masks = Masks()
            masks.extend(self._known)
            self._masks = masks  # another one: a writer's thread may be at work with that from before

    def hidden(self, text: str) -> str:
        """Return a text without the values that are known to be secret; a hash stays what it is."""
        return text if len(text) == 64 and _DIGEST.fullmatch(text) else self._masks.text(text)

    def event(self, event: AuditEvent) -> AuditEvent:
        """Return an event without secrets. Who did it, from where, and the action's name stay as they are."""
        if self._is_plain(event.subject, event.detail):
            return event
        try:
            detail: Any = json.loads(event.detail)
        except ValueError:
            detail = {"text": event.detail}
        if not isinstance(detail, dict):
            detail = {"text": event.detail}
        kept = {self.text(name): self._named(name, value) for name, value in detail.items()}
        subject = self.subject(event.subject)
        if kept == detail and subject == event.subject:
            return event
        return replace(event, subject=subject, detail=json.dumps(kept, sort_keys=True))

    def text(self, text: str) -> str:
        """Return a text without what is known to be secret, or looks or is named like it."""
        if len(text) == 64 and _DIGEST.fullmatch(text):
            return HIDDEN if self._masks.knows(text) else text
        text = self._masks.text(text)
        text = _FORMS.sub(_beginning, text)
        if "=" in text or ":" in text:
            text = _without_given(_HEADER.sub(_without_value, text))
        return _OPTION.sub(_without_value, text) if "-" in text else text

    def _is_plain(self, subject: str, detail: str) -> bool:
        """Tell at a glance of nearly every event that there is nothing to take out."""
        if "\\" in detail or detail[:1] != "{":
            return False  # a text does not stand there as it is
        whole = f"{subject}\n{detail}"
        small = whole.lower()
        if self._masks.found_in(whole) or any(mark in small for mark in _MARKS) or _IN_A_TEXT.search(whole):
            return False
        return not any(map(_is_told_by_name, _NAMES.findall(detail)))

    def subject(self, text: str) -> str:
        """Return what a record is about without what is secret. The number of a run stays."""
        run = _RUN.match(text)
        number = run[0] if run is not None else ""
        return number + self.text(text.removeprefix(number))

    def _named(self, name: str, value: object) -> object:
        """Return a value of the detail itself, whose names are ours, or paths of shared code."""
        if name in OWN_NAMES or name.endswith(".py"):
            return self._value(value)
        return self._inside(name, value)

    def _inside(self, name: str, value: object) -> object:
        secret = names_a_secret(name) and value not in (None, "", [], {}) and not isinstance(value, bool)
        return HIDDEN if secret else self._value(value)

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(name): self._inside(name, one) for name, one in value.items()}
        return value


@functools.lru_cache(maxsize=1_000)
def _is_told_by_name(name: str) -> bool:
    return name not in OWN_NAMES and names_a_secret(name)


def _beginning(found: re.Match[str]) -> str:
    return f"{found[found.lastgroup or 0]}{HIDDEN}"


def _without_given(text: str) -> str:
    """Hide the values of names that are a secret's; other values are looked through for such names."""
    kept, at = [], 0
    for found in _GIVEN.finditer(text):
        name, between = found.groups()
        if found.start() < at or not _is_secret(name) or (name == "token" and between == ":"):
            continue  # the last one is how a caller is named
        if (value := _VALUE.match(text, found.end())) is not None:
            kept += [text[at : found.end()], HIDDEN]
            at = value.end()
    return "".join([*kept, text[at:]])


def _without_value(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    return f"{name}{between}{HIDDEN}" if value != HIDDEN and _is_secret(name) else found[0]


def _is_secret(name: str) -> bool:
    return names_a_secret_argument(name) or not ALSO_SECRET.isdisjoint(name.lower().split("-"))
