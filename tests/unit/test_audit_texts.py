"""What ``gatewright audit`` says of a record: what happened, how often, how it ended and what was missing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.models.engine import AuditRecord
from tui.text.audit_record import record_text
from tui.text.formats import clock

AT = 1_800_000_000.0
TIMES = {"first_at": AT - 50, "last_at": AT}
DIGEST = "0123456789abcdef" * 4
APPROVED = '[{"access":"read","path":"/srv/data","folder":true}]'


@pytest.mark.parametrize(
    ("action", "subject", "detail", "text"),
    [
        (
            "denied", "compat.exec", {"what": "run code of their own", "needs": "author", "role": "operator"},
            "refused: run code of their own (rest): needs the role author, has operator",
        ),
        (
            "denied", "engine.info", {"what": "see what the engine is", "needs": "viewer", "role": "none",
            "repeated": 19, **TIMES},
            f"refused: see what the engine is (rest): 19 more times until {clock(AT)}, needs the role viewer, has none",
        ),
        (
            "denied", "runs.start", {"what": "start runs", "script": "line2/x.py", "needs": "operator",
            "role": "author", "scripts": "line1/**"},
            "refused: start runs: line2/x.py (rest): its token is for line1/** only",
        ),
        (
            "denied", "login from 10.0.0.7", {"token": "dash1", "why": "expired"},
            "refused: login from 10.0.0.7 (rest): expired token dash1",
        ),
        (
            "run", "#12 job.py", {"outcome": "ok", "runs": 100, "failures": 2, "last_run": 140, "inputs_distinct": 7,
            "code_sha256": DIGEST, "inputs_sha256": DIGEST, **TIMES},
            (f"run #12 job.py (rest): ok, 100 runs from {clock(AT - 50)} to {clock(AT)}, the last is #140, 2 failed, "
            "7 different inputs, text 0123456789ab"),
        ),
        (
            "run", "#5 <exec>", {"outcome": "ok", "duration": 0.00751, "isolation": "full: userns+seccomp",
            "code_sha256": DIGEST},
            "run #5 <exec> (rest): ok, duration 0.00751 s, isolation full, text 0123456789ab",
        ),
        ("admin_end", "#3 <exec>", {"outcome": "script_error"}, "admin end #3 <exec> (rest): script_error"),
        ("access_policy_refused", "/etc/gatewright/a.toml of root", {"problem": "unknown key access.viewer"},
         "access policy refused /etc/gatewright/a.toml of root (rest): unknown key access.viewer"),
        ("yield", "pool", {"reason": "The load is 10.0.", "resting": 2, "size": 3},
         "yield pool (rest): The load is 10.0, resting 2, size 3"),
        ("start", "", {}, "start (rest)"),
        ("settings", "", {"policy.admin_as_root": True, "pool.size": 5},
         "settings (rest): policy.admin_as_root yes, pool.size 5"),
        ("approved", "a.py", {"sha256": DIGEST, "grants": APPROVED},
         "approved a.py (rest): grants read /srv/data, text 0123456789ab"),
        ("token_create", "ci", {"role": "operator", "scripts": ["line1/**"], "expires_at": None},
         "token create ci (rest): role operator, scripts line1/**"),
        ("save", "a.py", {"sha256": DIGEST, "base": DIGEST}, "save a.py (rest): text 0123456789ab"),
    ],
)  # fmt: skip
def test_a_record_says_what_happened(action: str, subject: str, detail: dict[str, Any], text: str) -> None:
    record = AuditRecord(
        seq=1, at=AT, actor="token:ci", uid=-1, source="rest", action=action, subject=subject, detail=detail, sha256=""
    )
    assert record_text(record) == text
