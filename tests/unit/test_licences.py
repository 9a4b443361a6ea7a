"""Everything this product needs to run has a licence that fits its own, Apache-2.0: no copyleft comes in unseen."""

from __future__ import annotations

import tomllib
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

PERMISSIVE = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0", "Unlicense"}
"""SPDX names. No MPL-2.0: nothing needs it today, and its files would have to be offered as source."""

CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License",
    "License :: OSI Approved :: BSD License",
    "License :: OSI Approved :: ISC License (ISCL)",
    "License :: OSI Approved :: MIT License",
    "License :: OSI Approved :: Python Software Foundation License",
}

FREE_TEXTS = PERMISSIVE | {"BSD License", "MIT License"}


def is_permissive(about: Message) -> bool:
    """Judge the clearest statement there is: the expression, else every classifier, else the old free text."""
    if expression := about.get("License-Expression"):
        return any(all(name.strip() in PERMISSIVE for name in part.split(" AND ")) for part in expression.split(" OR "))
    if said := [line for line in about.get_all("Classifier", []) if line.startswith("License :: ")]:
        return CLASSIFIERS.issuperset(said)
    return about.get("License") in FREE_TEXTS


def needed() -> dict[str, metadata.Distribution]:
    """What an installation without extras brings along, on this interpreter and system."""
    waiting = [Requirement(text) for text in tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    found = {}
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = metadata.distribution(name)
        for text in found[name].requires or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append(inner)
    return found


def test_every_runtime_dependency_is_permissive():
    found = needed()
    assert {"starlette", "anyio", "textual", "rich"} <= found.keys()
    assert "pytest" not in found
    assert [name for name, package in found.items() if not is_permissive(package.metadata)] == []


@pytest.mark.parametrize(
    ("field", "value", "permissive"),
    [
        ("License-Expression", "MIT", True),
        ("License-Expression", "Apache-2.0 OR GPL-3.0-only", True),
        ("License-Expression", "Apache-2.0 AND BSD-2-Clause", True),
        ("License-Expression", "GPL-2.0-or-later", False),
        ("License-Expression", "MIT AND LGPL-2.1-only", False),
        ("License-Expression", "(MIT)", False),
        ("Classifier", "License :: OSI Approved :: MIT License", True),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v2 or later (GPLv2+)", False),
        ("License", "BSD-3-Clause", True),
        ("License", "GNU GPL v2 or later", False),
        ("Name", "says-nothing", False),
    ],
)
def test_a_copyleft_or_unknown_licence_is_refused(field, value, permissive):
    about = Message()
    about[field] = value
    assert is_permissive(about) is permissive


def test_one_classifier_of_two_is_not_enough():
    about = Message()
    about["Classifier"] = "License :: OSI Approved :: MIT License"
    about["Classifier"] = "License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)"
    assert not is_permissive(about)
