"""The default scripts by an ordinary account in the full sandbox: each on its sample, and on a file of no kind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from account_support import OrdinaryAccount, ordinary_account

pytestmark = pytest.mark.slow

SAMPLES = {
    "alarm_journal": {"journal": "alarm_journal.csv"},
    "backup_check": {"backup": "plant3.gwbk"},
    "cert_expiry": {"certificates": "gateway_certificates.pem"},
    "clock_drift": {"log": "clock_drift.log"},
    "config_diff": {"old": "config_before.zip", "new": "config_after.zip"},
    "csv_summary": {"table": "tag_history.csv"},
    "disk_health": {"df": "df.log", "database": "gateway.db", "earlier": "gateway_earlier.db"},
    "historian_gaps": {"data": "historian.db"},
    "log_digest": {"log": "wrapper.log"},
    "project_inventory": {"export": "project.zip"},
    "tag_diff": {"old": "tags_before.json", "new": "tags_after.json"},
    "tag_lint": {"export": "tags_after.json"},
    "thread_dumps": {"dump": "thread_dumps.log"},
}


class Plant:
    """A project of an ordinary account."""

    def __init__(self, account: OrdinaryAccount) -> None:
        self._account = account
        self.folder = account.folder("plant")

    def call(self, *arguments: str) -> tuple[int, str, str]:
        done = self._account.call("--project", str(self.folder), *arguments)
        return done.returncode, done.stdout, done.stderr

    def run(self, script: str, files: dict[str, str]) -> tuple[int, str, str]:
        handed = [word for name, path in files.items() for word in ("--file", f"{name}={self.folder / path}")]
        return self.call("--json", "run", f"defaults/{script}", *handed)


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with ordinary_account() as account:
        made = Plant(account)
        code, _, told = made.call("engine", "start")
        assert code == 0, told
        (made.folder / "any.bin").write_bytes(bytes(range(256)) * 100)
        (made.folder / "any.bin").chmod(0o644)
        yield made
        made.call("engine", "stop", "--force")


@pytest.mark.parametrize("name", SAMPLES)
def test_it_reports_on_its_sample_and_fails_on_a_file_of_another_kind(plant: Plant, name: str) -> None:
    code, printed, told = plant.run(name, {param: f"documents/samples/{file}" for param, file in SAMPLES[name].items()})
    assert code == 0, told
    run = json.loads(printed)
    assert (run["outcome"], run["mode"], run["stderr"]) == ("ok", "RESTRICTED", "")
    assert all(len(line) <= 80 for line in run["stdout"].splitlines()), run["stdout"]
    code, printed, _ = plant.run(name, dict.fromkeys(SAMPLES[name], "any.bin"))
    run = json.loads(printed)
    assert (code, run["outcome"], run["exit_status"]) == (1, "script_error", 1)
    assert run["stderr"].count("\n") == 1, "one sentence"
    assert run["stderr"].endswith(".\n")
