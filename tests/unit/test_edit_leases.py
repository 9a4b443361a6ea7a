"""Leases for one's own edits: whose they are, which text they count for, and everything that ends them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from engine.models.permissions import Access, Grant
from engine.models.shared import SharedFile
from engine.services.access import Actor, Role, ServiceError
from engine.services.scripts.own_edits import HEARD_FOR, LASTS, MOST, EditLeases, Lease, OwnEdit

ALICE, BOB = Actor("alice", 1000, Role.ADMIN), Actor("bob", 1001, Role.ADMIN)
LOGS, MORE = Grant(access=Access.READ, path="/srv/logs"), Grant(access=Access.READ, path="/srv/more")
SCRIPT = "watch.py"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Desk:
    """Leases under a clock of the test's own, and what was told of them."""

    def __init__(self) -> None:
        self.time = 100.0
        self.told: list[str] = []
        self.leases = EditLeases(lambda: self.time)
        self.leases.tell = self._tell
        self.lease = self.begin()

    def _tell(self, lease: Lease, action: str, detail: Mapping[str, object]) -> None:
        self.told.append(f"{action} {detail.get('reason', '')}".strip())

    def begin(self) -> Lease:
        return self.leases.begin(ALICE, SCRIPT, sha("one"), {LOGS: ("/srv/logs", True), MORE: ("/srv/more", False)})

    def edit(self, actor: Actor = ALICE, token: str | None = None) -> OwnEdit:
        return OwnEdit(self.lease.token if token is None else token, actor)

    def save(self, text: str, base: str, edit: OwnEdit | None = None, asked: tuple[Grant, ...] = (LOGS,)) -> None:
        with self.leases.saving(edit or self.edit(), SCRIPT, sha(base), text.encode(), asked):
            pass

    def may(self, text: str, edit: OwnEdit | None = None, asked: tuple[Grant, ...] = (LOGS,)) -> bool:
        return self.leases.permitted(edit or self.edit(), SCRIPT, sha(text), asked) is not None


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_it_counts_for_the_text_that_was_looked_at_and_each_own_save_over_it(desk: Desk) -> None:
    assert desk.may("one")
    desk.save("two", "one")
    assert not desk.may("one")
    assert desk.may("two")
    desk.save("three", "two", asked=())
    assert desk.leases.permitted(desk.edit(), SCRIPT, sha("three"), [MORE, LOGS]) == [
        ("/srv/more", False),
        ("/srv/logs", True),
    ]
    assert desk.told == ["begin", "use", "save", "use", "save", "use"]


def test_it_counts_with_the_shared_code_that_was_looked_at_and_no_other() -> None:
    seen, changed = SharedFile(path="lib/tags.py", sha256=sha("a")), SharedFile(path="lib/tags.py", sha256=sha("b"))
    desk = Desk()
    lease = desk.leases.begin(ALICE, SCRIPT, sha("one"), {LOGS: ("/srv/logs", True)}, [seen])
    edit = OwnEdit(lease.token, ALICE)
    for shared, may in (([], True), ([seen], True), ([changed], False), ([seen, changed], False)):
        assert (desk.leases.permitted(edit, SCRIPT, sha("one"), [LOGS], shared) is not None) == may
    assert desk.leases.permitted(desk.edit(), SCRIPT, sha("one"), [LOGS], [seen]) is None


def test_nobody_else_and_no_other_script_or_text_has_anything_of_it(desk: Desk) -> None:
    assert not desk.may("one", desk.edit(BOB))
    assert not desk.may("one", desk.edit(token=""))
    assert not desk.may("one", desk.edit(token="guessed"))
    assert not desk.may("one", desk.edit(Actor("alice", 1000, Role.AUTHOR)))
    assert desk.leases.permitted(desk.edit(), "other.py", sha("one"), [LOGS]) is None
    assert not desk.may("unsaved")
    assert not desk.may("one", asked=(LOGS, Grant(access=Access.WRITE, path="/srv/logs")))
    with pytest.raises(ServiceError) as caught:
        desk.leases.renew(desk.edit(BOB))
    assert caught.value.code == "edits_over"
    assert desk.may("one")


@pytest.mark.parametrize("edit", [OwnEdit("", ALICE), OwnEdit("", BOB), OwnEdit("guessed", ALICE)])
def test_a_save_of_anybody_else_ends_it(desk: Desk, edit: OwnEdit) -> None:
    desk.save("theirs", "one", edit)
    assert not desk.may("theirs")
    desk.save("one", "theirs")
    assert not desk.may("one")
    assert desk.told[1:] == ["end the script was changed by other than your own saves"]


def test_a_save_with_the_token_by_another_account_ends_it(desk: Desk) -> None:
    desk.save("theirs", "one", desk.edit(BOB))
    assert not desk.may("theirs")
    assert desk.told[1:] == ["end the script was changed by other than your own saves"]


def test_an_own_save_over_a_text_that_is_not_its_own_ends_it(desk: Desk) -> None:
    """What was merged into it is somebody else's."""
    desk.save("both", "theirs")
    assert not desk.may("both")


def test_asking_for_more_ends_it(desk: Desk) -> None:
    desk.save("two", "one", asked=(LOGS, Grant(access=Access.READ, path="/srv")))
    assert not desk.may("two")
    assert desk.told[1:] == ["end the script asks for more than was approved"]


def test_a_save_that_fails_changes_nothing(desk: Desk) -> None:
    with pytest.raises(OSError, match="full"), desk.leases.saving(desk.edit(), SCRIPT, sha("one"), b"two", [LOGS]):
        raise OSError("full")
    assert desk.may("one")
    assert not desk.may("two")
    desk.leases.found(desk.lease, sha("two"))
    assert not desk.may("one")


def test_a_look_at_the_file_ends_it_unless_it_may_be_an_own_save(desk: Desk) -> None:
    desk.leases.found(desk.lease, sha("one"))
    with desk.leases.saving(desk.edit(), SCRIPT, sha("one"), b"two", [LOGS]):
        known = desk.lease.texts
        desk.leases.found(desk.lease, sha("two"))
    desk.leases.found(desk.lease, sha("one"), known)  # it began before the save was done
    assert desk.may("two")
    desk.leases.found(desk.lease, None)
    assert not desk.may("two")
    assert desk.told[-1] == "end the script is gone"


def test_fifteen_minutes_are_all_whatever_is_renewed(desk: Desk) -> None:
    while desk.time < 100.0 + LASTS - HEARD_FOR:
        desk.time += HEARD_FOR - 1
        desk.leases.renew(desk.edit())
    desk.time = 100.0 + LASTS - 0.5
    assert desk.leases.renew(desk.edit()) is desk.lease
    assert desk.may("one")
    assert desk.leases.left(desk.lease) == pytest.approx(0.5)
    desk.time += 0.5
    assert not desk.may("one")
    with pytest.raises(ServiceError, match="their time is over"):
        desk.leases.renew(desk.edit())


def test_a_console_that_falls_silent_has_nothing_soon(desk: Desk) -> None:
    desk.time += HEARD_FOR
    assert not desk.may("one")
    with pytest.raises(ServiceError, match="fell silent"):
        desk.leases.renew(desk.edit())


def test_runs_and_saves_do_not_renew_it(desk: Desk) -> None:
    desk.time += HEARD_FOR - 1
    desk.save("two", "one")
    assert desk.may("two")
    desk.time += 1
    assert not desk.may("two")


def test_there_are_few_at_a_time_and_ended_ones_make_room(desk: Desk) -> None:
    for _ in range(MOST - 1):
        desk.begin()
    with pytest.raises(ServiceError) as caught:
        desk.begin()
    assert caught.value.code == "too_many"
    desk.leases.end_all("other.py", "not meant")
    desk.leases.end_all(SCRIPT, "bob refused what the script asks for")
    assert not desk.may("one")
    desk.begin()
