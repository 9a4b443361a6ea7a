"""What presses a host, the steps that follow, and a gateway's log that may hold anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_proc import MIB, MadeUpProc

from engine.config import ConfigError, Settings, YieldSection
from engine.models.engine import PoolInfo
from engine.services.access import Actor, Role
from engine.services.usage import Usage, Use, cores
from engine.services.yielding.pressure import HostReader, Pressure, PressureFigures, judge
from engine.services.yielding.service import COMING_BACK, EASING, PATIENCE, Steps, YieldService
from engine.services.yielding.wrapper_log import LONGEST_LINE, MOST, MOST_SECONDS, UnreadableLog, WrapperLog

LIMITS = YieldSection()
GIB = 1 << 30
IDLE = {"processors": 4, "load": 0.3, "others": 5.0, "stalled": 1.0, "memory": 8 * GIB, "available": 4 * GIB}


def figures(**changes: float) -> PressureFigures:
    return PressureFigures(**(IDLE | changes))  # type: ignore[arg-type]


def test_an_idle_host_is_calm() -> None:
    assert judge(figures(), LIMITS) == Pressure((), calm=True)
    assert judge(PressureFigures(processors=1), LIMITS) == Pressure((), calm=True), (
        "what cannot be read presses nothing"
    )


@pytest.mark.parametrize(
    ("pressing", "near", "sentence"),
    [
        ({"load": 8.0, "others": 25.0}, {"load": 7.0, "others": 25.0}, "The load is 8.0 on 4 processors."),
        (
            {"stalled": 60.0, "others": 40.0},
            {"stalled": 50.0, "others": 40.0},
            "Something waits for a processor 60 % of the time.",
        ),
        ({"available": GIB // 4}, {"available": GIB // 2.2}, "Only 256 MiB of memory are available."),
        ({"stalled_memory": 31.0}, {"stalled_memory": 17.0}, "Programs wait for memory 31 % of the time."),
        ({"gateway": 92.0}, {"gateway": 61.0}, "The gateway uses 92 % of the processors."),
        ({"drift": 2.4}, {"drift": 1.7}, "The gateway's clock drifted by 2.4 s."),
        ({"collections": 3.0}, {"collections": 1.7}, "Garbage collection held the gateway up for 3.0 s."),
    ],
)
def test_each_figure_presses_at_its_limit_and_is_calm_well_below(
    pressing: dict[str, float], near: dict[str, float], sentence: str
) -> None:
    pressed = judge(figures(**pressing), LIMITS)
    assert (pressed.sentence, pressed.calm) == (sentence, False)
    assert judge(figures(**near), LIMITS) == Pressure((), calm=False)
    both = judge(figures(**(pressing | {"gateway": 99.0})), LIMITS)
    assert both.sentence.count(".") >= 1
    assert "99 %" in both.sentence


@pytest.mark.parametrize("others", [None, 24.9])
def test_scripts_that_have_the_host_to_themselves_press_nobody(others: float | None) -> None:
    found = judge(PressureFigures(processors=2, load=9.0, stalled=95.0, others=others), LIMITS)
    assert bool(found.reasons) == (others is None), "where their share is not known, load counts"


def test_memory_can_be_left_out() -> None:
    assert judge(figures(available=0), YieldSection(memory=0)).calm
    assert judge(figures(available=0), LIMITS).sentence == "Only 0 bytes of memory are available."


# -- steps -----------------------------------------------------------------------------------------------------------

PRESSED, NEAR, CALM = Pressure(("the load is high",), False), Pressure((), False), Pressure((), True)


def test_it_rests_by_steps_and_comes_back_by_steps() -> None:
    steps = Steps(after=20, back=60)
    at = {now: steps.take(now, PRESSED, 8, 1) for now in range(0, 91, 10)}
    assert at == {0: 0, 10: 0, 20: 2, 30: 2, 40: 4, 50: 4, 60: 6, 70: 6, 80: 7, 90: 7}
    at = {now: steps.take(now, CALM, 8, 1) for now in range(100, 401, 60)}
    assert at == {100: 7, 160: 5, 220: 3, 280: 1, 340: 0, 400: 0}


def test_a_moment_of_pressure_and_a_moment_of_calm_change_nothing() -> None:
    steps = Steps(after=20, back=60)
    for now in range(0, 1000, 20):
        assert steps.take(now, PRESSED, 3, 1) == 0
        assert steps.take(now + 10, (CALM, NEAR)[now % 40 == 0], 3, 1) == 0
    steps = Steps(after=20, back=60, resting=2)
    for now in range(0, 1000, 50):
        assert steps.take(now, CALM, 3, 1) == 2
        assert steps.take(now + 45, NEAR, 3, 1) == 2, "near a limit is not well below it"


def test_a_step_back_that_did_not_last_is_taken_later_each_time() -> None:
    steps = Steps(after=20, back=60)
    waits = []
    now = 0.0
    for _ in range(6):
        while steps.take(now, PRESSED, 3, 1) < 1:
            now += 10
        calm_since = now
        while steps.take(now, CALM, 3, 1) > 0:
            now += 10
        waits.append(now - calm_since)
        now += 10
    assert waits == [60.0 * factor for factor in (1, 2, 4, 8, 8, 8)]
    assert PATIENCE == 8
    now += 301
    while steps.take(now, PRESSED, 3, 1) < 1:
        now += 10
    since = now
    while steps.take(now, CALM, 3, 1) > 0:
        now += 10
    assert now - since == 60.0, "after five calm minutes it is forgotten"


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([PRESSED, NEAR, CALM]), st.integers(1, 120), st.integers(1, 20)), max_size=200),
    st.integers(1, 20),
)
def test_whatever_happens_one_slot_is_left_and_steps_are_steps(
    course: list[tuple[Pressure, int, int]], keep: int
) -> None:
    steps, now, before, size_before = Steps(after=20, back=60), 0, 0, 20
    for pressure, passed, size in course:
        now += passed
        resting = steps.take(now, pressure, size, keep)
        assert 0 <= resting <= max(0, size - keep) < size
        if size == size_before:
            assert abs(resting - before) <= max(1, size // 4)
            assert resting <= before or pressure is PRESSED
            assert resting >= before or pressure is CALM
        before, size_before = resting, size


# -- the host --------------------------------------------------------------------------------------------------------

USAGE = Usage(cores=2, engine=Use(10.0, MIB), gateway=Use(33.0, GIB), load=2.5, memory=8 * GIB, available=GIB)


def made_up(folder: Path, busy: int, idle: int, processors: int = 4) -> None:
    lines = [f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0", *(f"cpu{n} 1 1 1 1" for n in range(processors)), "intr 5"]
    (folder / "stat").write_text("\n".join(lines))
    (folder / "pressure").mkdir(exist_ok=True)
    some = "some avg10=12.50 avg60=9.35 avg300=35.37 total=41181147149\n"
    (folder / "pressure/cpu").write_text(f"{some}full avg10=1.00 avg60=0.00 avg300=0.00 total=0\n")
    (folder / "pressure/memory").write_text(some.replace("12.50", "3.25"))


def test_the_hosts_files_are_read_and_what_scripts_use_is_not_others(tmp_path: Path) -> None:
    reader = HostReader(tmp_path)
    made_up(tmp_path, busy=1000, idle=1000)
    assert reader.figures(0, USAGE, 0, 0).others is None
    made_up(tmp_path, busy=1300, idle=1700)
    found = reader.figures(60, USAGE, 1.5, 0.5)
    # 30 % of four processors, less 10 % of two of them.
    assert found == PressureFigures(
        processors=4, load=2.5, others=pytest.approx(25.0), stalled=12.5, stalled_memory=3.25, memory=8 * GIB,
        available=GIB, gateway=33.0, drift=1.5, collections=0.5,
    )  # fmt: skip
    made_up(tmp_path, busy=1300, idle=3700)
    assert reader.figures(125, USAGE, 0, 0).others == 0.0, "the minute slides"


@pytest.mark.parametrize("text", ["", "cpu", "cpu a b c d e f g h", "cpu 1 2", "cpu 1 2 3 4 5 6 7 8", "\0" * 100])
def test_files_that_say_nothing_are_no_pressure(tmp_path: Path, text: str) -> None:
    made_up(tmp_path, 1, 1)
    for file in ("stat", "pressure/cpu", "pressure/memory"):
        (tmp_path / file).write_text(text)
    found = HostReader(tmp_path).figures(0, USAGE, 0, 0)
    assert (found.others, found.stalled, found.stalled_memory) == (None, None, None)
    assert found.processors >= 1
    found = HostReader(tmp_path / "nowhere").figures(0, USAGE, 0, 0)
    assert (found.others, found.stalled) == (None, None)


def test_this_host_can_be_read() -> None:
    reader = HostReader()
    first = reader.figures(0, USAGE, 0, 0)
    assert first.processors >= 1
    if Path("/proc/pressure/cpu").exists():
        assert first.stalled is not None


class Host:
    """A made-up host with a gateway, and a pool that only remembers how many slots are to rest."""

    size = 3

    def __init__(self, folder: Path, limits: YieldSection) -> None:
        self.proc = MadeUpProc(folder)
        self.told: list[tuple[int, str]] = []
        self.audited: list[object] = []
        self.gateway = 100.0
        self.busy = self.idle = 1000
        self.load = 0.5
        self.service = YieldService(
            self,  # type: ignore[arg-type]
            self.proc.meter(),
            limits,
            self,  # type: ignore[arg-type]
            Actor("alice", 1000, Role.ADMIN),
            proc=folder,
            clock=self.proc.clock,
        )

    def rest(self, count: int, reason: str) -> None:
        if not self.told or self.told[-1] != (count, reason):
            self.told.append((count, reason))

    def info(self) -> PoolInfo:
        return PoolInfo(size=3, slots=[], rest_reason=self.told[-1][1] if self.told else "")

    def tell(self, actor: Actor, source: str, action: str, subject: str, **detail: object) -> None:
        self.audited.append((actor.name, actor.uid, source, action, subject, detail))

    async def minutes(self, count: float, *, gateway: float, load: float, busy: float) -> None:
        """Let time pass, in looks ten seconds apart, with so many percent of the processors in use."""
        for _ in range(int(count * 6)):
            self.proc.now += 10
            self.gateway += 10 * gateway / 100 * cores()
            self.busy += round(10 * busy)
            self.idle += round(10 * (100 - busy))
            self.proc.process(os.getpid(), 1.0, began=1.0)
            java = "/usr/local/bin/ignition/lib/runtime/jre-nix/bin/java -Xmx2g"
            self.proc.process(900_005, self.gateway, command=java)
            (self.proc.folder / "loadavg").write_text(f"{load} 0.5 0.1 1/200 4711\n")
            made_up(self.proc.folder, self.busy, self.idle)
            await self.service.look()


async def test_a_busy_gateway_presses_until_it_is_idle_again(tmp_path: Path) -> None:
    host = Host(tmp_path, YieldSection(memory=0))
    await host.minutes(2, gateway=20, load=0.5, busy=30)
    assert host.told == [(0, "")]
    await host.minutes(2, gateway=92, load=1.0, busy=95)
    assert [count for count, _ in host.told] == [0, 1, 2]
    assert all(reason.startswith("The gateway uses ") for count, reason in host.told if count)
    await host.minutes(1, gateway=65, load=1.0, busy=70)
    assert host.told[-1][0] == 2, "near its limit it does not go to and fro"
    await host.minutes(4, gateway=10, load=0.2, busy=12)
    assert host.told[-2:] == [(1, "They come back step by step, since the host has room again."), (0, "")]
    assert [detail["resting"] for *_, detail in host.audited] == [1, 2, 1, 0]  # type: ignore[index]
    assert host.audited[0][:5] == ("engine", 1000, "engine", "yield", "pool")  # type: ignore[index]


async def test_the_reason_is_of_now_and_not_of_when_slots_began_to_rest(tmp_path: Path) -> None:
    host = Host(tmp_path, YieldSection(memory=0))
    await host.minutes(2, gateway=1, load=40.0, busy=60)
    assert host.told[-1] == (2, "The load is 40.0 on 4 processors.")
    steps = len(host.audited)
    await host.minutes(2, gateway=1, load=30.0, busy=60)
    assert host.told[-1] == (2, "The load is 30.0 on 4 processors.")
    told = len(host.told)
    for load in (31.0, 32.0, 33.0):
        await host.minutes(0.2, gateway=1, load=load, busy=60)
    assert len(host.told) <= told + 1, "a figure that moves is told once a minute"
    await host.minutes(1, gateway=1, load=7.5, busy=60)
    assert host.told[-1] == (2, EASING), "it presses no more, and is not well below yet"
    await host.minutes(0.2, gateway=1, load=0.1, busy=60)
    assert host.told[-1] == (2, COMING_BACK)
    assert len(host.audited) == steps, "the audit tells when slots rest or come back, not each figure"


async def test_load_presses_only_where_others_make_it(tmp_path: Path) -> None:
    host = Host(tmp_path, YieldSection(memory=0))
    await host.minutes(3, gateway=1, load=40.0, busy=10)
    assert host.told == [(0, "")], "others use a tenth: it is the scripts' own load"
    await host.minutes(2, gateway=1, load=40.0, busy=60)
    assert host.told[-1] == (2, "The load is 40.0 on 4 processors.")


def test_the_settings_say_what_is_wrong_and_only_the_file_names_a_log(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"

    def loaded(text: str, environ: dict[str, str] | None = None) -> YieldSection:
        file.write_text(text)
        file.chmod(0o600)
        return Settings.load(file, environ or {}).yielding

    assert loaded('[yield]\nload = 3\nwrapper_log = "/var/log/wrapper.log"\n') == YieldSection(
        load=3.0, wrapper_log="/var/log/wrapper.log"
    )
    assert not loaded("", {"GATEWRIGHT_YIELD_ENABLED": "false"}).enabled
    with pytest.raises(ConfigError, match="cannot decide which log of the gateway is read"):
        loaded("", {"GATEWRIGHT_YIELD_WRAPPER_LOG": "/etc/passwd"})
    with pytest.raises(ConfigError, match=r"load of a processor must be 0\.1 to 1000, not 0"):
        loaded("[yield]\nload = 0\n")
    with pytest.raises(ConfigError, match=r"unknown key yield\.lod") as wrong:
        loaded("[yield]\nlod = 1\n")
    assert wrong.value.hint == "Did you mean yield.load?"
    with pytest.raises(ConfigError, match="unknown section yielding") as wrong:
        loaded("[yielding]\nload = 1\n")
    assert wrong.value.hint == "Did you mean [yield]?"


# -- the gateway's log -----------------------------------------------------------------------------------------------

IGNITION = (
    "INFO   | jvm 1    | 2026/11/20 12:03:58 | W [ClockDriftDetector] [12:03:58.123]: Clock drift, degraded "
    "performance, or pause-the-world detected.  Max allowed deviation=1000ms, actual deviation=2431ms\n"
)


class Log:
    """A log of a gateway and the reader of it, with a clock of the test's."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wrapper.log"
        self.path.write_text(f"written before the engine began\n{IGNITION}")
        self.now = 100.0
        self.reader = WrapperLog(self.path, 30.0, lambda: self.now)
        self.reader.look()

    def write(self, text: str | bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text.encode() if isinstance(text, str) else text)

    def look(self) -> tuple[float, float]:
        self.reader.look()
        return self.reader.drift, self.reader.collections


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.parametrize(
    ("line", "drift", "collections"),
    [
        (IGNITION, 2.431, 0),
        (IGNITION.replace("\n", "\r\n"), 2.431, 0),
        ("STATUS | wrapper  | 2026/11/20 | The timer fell behind the system clock by 12300ms.\n", 12.3, 0),
        ("INFO | wrapper | The system clock fell behind the timer by 4000ms.\n", 4.0, 0),
        ("[2.345s][info][gc] GC(4) Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(256M) 1234.567ms\n", 0, 1.234567),
        ("jvm 1 | [info][gc] GC(4) Pause Full (System.gc()) 24M->4M(256M) 1,5ms \n", 0, 0.0015),
        ("[Full GC (Ergonomics) [PSYoungGen: 1K->0K(2K)] 5K->4K(9K), 1.2345 secs] [Times: real=1.25 secs]\n", 0, 1.25),
        ("[info][gc] GC(4) Concurrent Mark Cycle 1234.567ms\n", 0, 0),
        ("a script says: actual deviation=none, Pause  ms, GC secs]\n", 0, 0),
    ],
)  # fmt: skip
def test_its_lines_are_understood(log: Log, line: str, drift: float, collections: float) -> None:
    assert log.look() == (0, 0), "what was there before is not of now"
    log.write(line)
    assert log.look() == (pytest.approx(drift), pytest.approx(collections))
    assert log.look() == (pytest.approx(drift), pytest.approx(collections)), "each line counts once"
    log.now += 10
    log.write(line)
    assert log.look() == (pytest.approx(2 * drift), pytest.approx(2 * collections))
    log.now += 20
    assert log.look() == (pytest.approx(drift), pytest.approx(collections)), "it counts for half a minute"
    log.now += 11
    assert log.look() == (0, 0)


def test_a_line_counts_when_its_end_is_there(log: Log) -> None:
    log.write(IGNITION[:-8])
    assert log.look() == (0, 0)
    log.write(IGNITION[-8:])
    assert log.look() == (2.431, 0)


def test_it_is_followed_through_rotation_and_emptying(log: Log) -> None:
    log.write("half a line of the old one, actual deviation=")
    log.look()
    log.path.rename(log.path.with_suffix(".1"))
    log.path.write_text("9000ms\n" + IGNITION)
    assert log.look() == (2.431, 0), "the end of the old one is not joined to the new one"
    os.truncate(log.path, 0)
    log.look()
    log.write(IGNITION)
    assert log.look() == (4.862, 0)
    log.path.unlink()
    with pytest.raises(UnreadableLog, match="No such file"):
        log.look()
    log.path.write_text(IGNITION)
    assert log.look()[0] == pytest.approx(3 * 2.431)


def test_of_much_only_the_end_is_read_and_nothing_of_it_is_kept(log: Log) -> None:
    log.write(IGNITION)
    with log.path.open("r+b") as file:
        file.truncate(1 << 40)  # a hole: no disk is needed
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + IGNITION.encode())
    assert log.look() == (2.431, 0)
    for _ in range(3):
        log.write(b"x" * (MOST - 10))
        log.look()
        assert len(log.reader._rest) <= LONGEST_LINE
    log.write("actual deviation=9000ms\n" + IGNITION)
    assert log.look() == (4.862, 0), "the end of a line without an end is no line"


NO_LOGS = {
    "binary": bytes(range(256)) * 1024,
    "zeros": b"\0" * MOST,
    "pauses": b"Pause " * (MOST // 6),
    "collections": b"GC" + b" 1.1 secs" * (MOST // 9),
    "numbers": (b"actual deviation=" + b"9" * 4000 + b"ms\n") * 60,
    "lines": b"\n" * MOST,
    "blanks": (b"Pause " + b" 1" * 100 + b"ms \n") * 1000,
}


@pytest.mark.parametrize("content", NO_LOGS.values(), ids=NO_LOGS)
def test_what_is_no_log_costs_little_and_breaks_nothing(log: Log, content: bytes) -> None:
    log.write(content)
    began = time.process_time()
    log.look()
    assert time.process_time() - began < 2.0
    log.write(b"\n" + IGNITION.encode())
    assert log.look()[0] >= 2.431


def test_a_forged_duration_has_an_end(log: Log) -> None:
    log.write("actual deviation=999999999ms\n" * 10_000)
    drift, _ = log.look()
    assert drift <= MOST_SECONDS * 10_000
    assert len(log.reader._drifts) == 1
    log.now += 31
    assert log.look() == (0, 0)


def test_only_a_file_under_its_own_name_is_opened(log: Log, tmp_path: Path) -> None:
    real = tmp_path / "real.log"
    log.path.rename(real)
    log.path.symlink_to(real)
    with pytest.raises(UnreadableLog, match="name the file itself"):
        log.look()
    log.path.unlink()
    os.mkfifo(log.path)  # nothing writes to it: to open it would wait for ever
    with pytest.raises(UnreadableLog, match="is no file"):
        log.look()
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(UnreadableLog, match="is no file"):
        log.look()
    for path, why in ((Path("/dev/zero"), "is no file"), (Path("wrapper.log"), "absolute path")):
        with pytest.raises(UnreadableLog, match=why):
            WrapperLog(path, 30.0).look()
    folder = tmp_path / "logs"
    folder.symlink_to(tmp_path)
    assert WrapperLog(folder / "real.log", 30.0).look() is None, "Ignition's own logs folder is a link"


def test_what_is_put_in_its_place_while_it_is_opened_is_not_read(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat(log.path)
    log.path.unlink()
    os.mkfifo(log.path)
    monkeypatch.setattr(os, "lstat", lambda path: real)
    with pytest.raises(UnreadableLog, match="is no file"):
        log.look()


def test_a_log_that_may_not_be_read_is_said(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.path.chmod(0)
    if os.geteuid() == 0:  # root may read everything

        def refuse(path: object, flags: int) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableLog, match="may not be read by the engine's account"):
        log.look()
