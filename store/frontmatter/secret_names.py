"""Names that say that their value is a secret."""

from __future__ import annotations

import re
import unicodedata

_SINGULAR = ("password", "passwd", "passphrase", "token", "secret", "key", "apikey", "credential")
_SECRET = frozenset({*_SINGULAR, *(f"{word}s" for word in _SINGULAR)})
"""Of several too: ``api_keys`` is worth hiding; that ``max_tokens`` is not, ``secret = false`` says in the header."""

_IN_ARGUMENTS = _SECRET | {
    "pass", "passwort", "passcode", "kennwort", "pw", "pwd", "psk", "otp", "auth", "oauth", "authorization", "bearer",
    "cookie", "cookies", "sessionid", "userpwd",
}  # fmt: skip
_ENDINGS = ("password", "passwd", "passphrase", "passwort", "kennwort", "pwd", "secret", "token", "apikey")

LONGEST_NAME = 1_000
"""Characters of a name that is looked at."""

_PARTS = ("key", "token", "secret", "passw", "passphrase", "credential")
"""Of these each such word contains one."""

_WORDS = (re.compile(r"[A-Z]?[a-z]+|[A-Z]+"), re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+"))
"""Both ways to read a run of capitals: ``APIkey``, ``APIKey``."""


def names_a_secret(name: str) -> bool:
    """Whether a name has one of the words as a whole word: ``api_key``, ``dbPassword``, ``token2``; not ``monkey``.

    Words end at underscores, hyphens, dots, digits and where a capital begins another one. Characters count as Python
    reads them in a name (PEP 3131, NFKC). A name longer than any that is written by hand counts as one unread.
    """
    if len(name) > LONGEST_NAME:
        return True
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    lower = plain.lower()
    for part in _PARTS:  # nearly every name has none, and there may be hundreds of thousands
        if part in lower:
            break
    else:
        return False
    return any(word.lower() in _SECRET for words in _WORDS for word in words.findall(plain))


def names_a_secret_argument(name: str) -> bool:
    """Whether a name that stands in an argument is one: also ``PGPASSWORD``, ``--auth`` and ``Cookie``.

    Nobody has declared these names, and there is no header that says otherwise, so more of them count.
    """
    plain = unicodedata.normalize("NFKC", name)
    found = {word.lower() for words in _WORDS for word in words.findall(plain)}
    return not found.isdisjoint(_IN_ARGUMENTS) or any(word.endswith(_ENDINGS) for word in found)


def holds_a_secret_name(value: object) -> bool:
    """Whether a value of JSON has such a name somewhere inside."""
    pending = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            if any(names_a_secret(name) for name in found if isinstance(name, str)):
                return True
            pending += found.values()
        elif isinstance(found, list):
            pending += found
    return False
