"""Requirements as people type them, and who needs a package."""

from __future__ import annotations

import pytest

from engine.models.packages import InstalledPackage, PackagePlan, PlannedPackage
from tui.text.packages import changes_line, needing, split_requirements


@pytest.mark.parametrize(
    ("line", "requirements"),
    [
        ("pandas", ["pandas"]),
        (" pandas>=2  openpyxl ", ["pandas>=2", "openpyxl"]),
        ("pandas >= 2, < 3 openpyxl", ["pandas>=2,<3", "openpyxl"]),
        ("numpy ~= 2.1 six === 1", ["numpy~=2.1", "six===1"]),
        ("pandas[excel]>=2", ["pandas[excel]>=2"]),
        ("tomli ; python_version < '3.11'", ["tomli ; python_version < '3.11'"]),
        ("  ", []),
    ],
)
def test_a_line_is_split_into_requirements(line, requirements):
    assert split_requirements(line) == requirements


def test_a_package_is_needed_by_all_that_lead_to_it_also_in_a_circle():
    needed_by = {"six": ["dateutil"], "dateutil": ["pandas"], "pandas": ["dateutil", "report"], "report": []}
    packages = [InstalledPackage(name=name, version="1", needed_by=by) for name, by in needed_by.items()]
    assert needing("six", packages) == ["dateutil", "pandas", "report"]
    assert needing("report", packages) == []


def test_a_line_of_changes_says_how_many_it_leaves_out():
    packages = [PlannedPackage(name=f"p{number}", version="1", change="new") for number in range(6)]
    packages.append(PlannedPackage(name="kept", version="1", change="same", before="1"))
    plan = PackagePlan(environment="default", python="3.12.1", packages=packages, requirements=[])
    assert changes_line(plan) == "new p0 1, new p1 1, new p2 1, new p3 1, and 2 more"
