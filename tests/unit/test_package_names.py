"""Names of packages and locks, as people and indexes write them: what is taken, and what is refused with a sentence."""

from __future__ import annotations

import contextlib
import io
import platform
import time
from pathlib import Path

import pytest

from engine.services.access import ServiceError
from engine.services.packages.bundles import read_bundle, write_bundle
from engine.services.packages.installed import MAX_METADATA, MAX_REQUIRES, FoundDistribution, Installed
from engine.services.packages.lock import BadLock, Lock
from engine.services.packages.offers import MAX_FILES, OfferedFile, Unreachable, told_files
from engine.services.packages.requirements import (
    checked_name,
    checked_requirement,
    checked_requirements,
    with_requirements,
    without_packages,
)
from engine.services.packages.uv import problem_in

SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--index-url=http://evil.example", "is an option"),
        (" -r requirements.txt", "is an option"),
        ("-e.", "is an option"),
        ("pandas @ https://evil.example/pandas.whl", "a file or an address"),
        ("https://evil.example/pandas-1-py3-none-any.whl", "a file or an address"),
        ("git+ssh://host/repo", "a file or an address"),
        ("./folder", "a file or an address"),
        ("/etc/passwd", "a file or an address"),
        ("~/wheels", "a file or an address"),
        ("pandas-1.0-py3-none-any.whl", "a file or an address"),
        ("pandas\n--index-url=x", "is no package"),
        ("pandas\x1b[31m", "is no package"),
        ("pandas -r x", "is no package"),
        ("pandas; import os", "is no package"),
        ("pandas ==", "is no package"),
        ("", "is no package"),
        ("a" * 120, "is no package"),
    ],
)
def test_what_is_no_name_of_a_package_is_refused(text: str, says: str) -> None:
    with pytest.raises(ServiceError, match=says) as refused:
        checked_requirement(text)
    assert refused.value.message.isprintable()
    assert refused.value.hint


def test_requirements_are_kept_by_name_and_each_name_is_asked_for_as_it_was_last() -> None:
    kept = checked_requirements([" numpy >= 2", "pandas", "requests[socks]==2.*", 'tomli; python_version < "3.11"'])
    assert kept == ["numpy>=2", "pandas", "requests[socks]==2.*", 'tomli; python_version < "3.11"']
    assert with_requirements(kept, ["NumPy<3"]) == ["NumPy<3", *kept[1:]]
    assert without_packages(kept, ["tomli", "numpy"]) == ["pandas", "requests[socks]==2.*"]
    assert checked_name("My_Package.x") == "my-package-x"
    with pytest.raises(ServiceError):
        checked_name("numpy>=2")


def locked(*files: str, extra: str = "", name: str = "alpha") -> str:
    wheels = ", ".join(f'{{ url = "{url}", hashes = {{ sha256 = "{SHA}" }} }}' for url in files)
    return f'lock-version = "1.0"\n[[packages]]\nname = "{name}"\nversion = "1.0"\nwheels = [{wheels}]\n{extra}'


def test_of_many_wheels_the_one_that_fits_the_interpreter_best_is_locked() -> None:
    at = "https://user:secret@index.example/"
    names = ["alpha-1.0-py3-none-any.whl", "alpha-1.0-cp39-cp39-manylinux2014_x86_64.whl",
             "alpha-1.0-cp312-cp312-manylinux2014_x86_64.whl", "alpha-1.0-cp39-cp39-win_amd64.whl"]  # fmt: skip
    text = locked(*(at + name for name in names)).replace("x86_64", platform.machine())
    assert Lock.read(text, "3.9.18").packages[0].file == names[1].replace("x86_64", platform.machine())
    lock = Lock.read(text, "3.10.1")
    assert lock.packages[0].url == "https://index.example/alpha-1.0-py3-none-any.whl"
    assert lock.packages[0].origin == "index.example"
    assert Lock.read(lock.text, "3.10.1") == lock
    elsewhere = Lock.read(locked("file:///wheels/alpha-1.0-py3-none-any.whl"), "3.10.1")
    assert (elsewhere.key, elsewhere.packages[0].origin) == (lock.key, "/wheels")


WHEEL = locked("https://x.example/alpha-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("packages = 1", "no lock"),
        ("[[packages", "not valid TOML"),
        ("x = " + "[" * 50_000, "not valid TOML"),
        (f"x = {'9' * 9_000}", "not valid TOML"),
        (locked("https://x.example/alpha-1.0-cp39-cp39-win_amd64.whl"), "has no wheel for Python 3.11.2"),
        (locked("ftp://x.example/alpha-1.0-py3-none-any.whl"), "an address that cannot be used"),
        (locked("https://x.example/\\u001b/alpha-1.0-py3-none-any.whl"), "an address that cannot be used"),
        (WHEEL.replace(SHA, "123"), "no SHA-256"),
        (locked(extra='sdist = { url = "https://x.example/alpha-1.0.tar.gz" }'), "has no wheel"),
        (WHEEL + WHEEL.split("\n", 1)[1], "twice"),
        (locked("https://x.example/alpha-1.0-py3-none-any.whl", name="../alpha"), "a package that is none"),
    ],
)  # fmt: skip
def test_what_is_no_lock_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadLock, match=says):
        Lock.read(text, "3.11.2")


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("error: Failed to extract archive\n  cause: No space left on device (os error 28)", "disk_full"),
        ("error: Failed to fetch: x\n  cause: dns error: failed to lookup address", "index_unreachable"),
        ("Because other==1.0 has an invalid package format and you require other", "bad_package"),
        ("error: Failed to download `badrec==1.0`\n  cause: RECORD file is invalid", "bad_package"),
        ("error: Size mismatch for `stolen==1.0`: expected 902 bytes", "hash_mismatch"),
        ("error: Received some unexpected JSON from http://x/: invalid type", "index_broken"),
        ("Because there are no versions of alpha and you require alpha, it is impossible", "no_version"),
        ("error: something new", "packages"),
        ("", "packages"),
    ],
)
def test_what_uv_says_becomes_a_sentence(output: str, code: str) -> None:
    problem = problem_in(output, "at index.example")
    assert problem.code == code
    assert problem.message.endswith(".")


def test_versions_without_a_wheel_are_no_conflict() -> None:
    said = (
        "  x No solution found when resolving dependencies:\n"
        "  Because all of:\n    numpy<=1.9.3\n    numpy>=1.10.4,<=1.19.5\nhave no usable wheels and only the following "
        "versions of numpy are available:\n    numpy<=1.9.3\n we can conclude that numpy<1.20 cannot be used."
    )
    problem = problem_in(said)
    assert (problem.code, problem.message.split(" that")[0]) == ("no_wheel", "No version of numpy")


def test_a_missing_package_is_said_with_the_place_where_it_was_looked_for() -> None:
    said = "Because requests was not found in the provided package locations and you require requests, no."
    assert problem_in(said, "in the wheelhouse").message == "There is no package requests in the wheelhouse."


def test_an_extra_counts_as_a_need_only_where_it_was_asked_for(tmp_path: Path) -> None:
    def package(name: str, *requires: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            "Version: 1.0",
            *(f"Requires-Dist: {each}" for each in requires),
        ]
        (folder / "METADATA").write_text("\n".join(lines))

    package("frame", "numbers", 'plots; extra == "plot"', 'ancient; python_version < "3"')
    package("plots", "numbers", 'frame; extra == "test"')
    package("numbers")
    package("ancient")
    (tmp_path / "broken-1.0.dist-info").mkdir()
    package("hostile\x1b[31m")
    package("cleared", "numbers\x1b[2J")
    found = Installed(tmp_path, "3.11.2").packages
    assert found.pop("cleared").requires == ["numbers [2J"]
    assert {name: one.needed_by for name, one in found.items()} == {
        "frame": [], "plots": [], "numbers": ["frame", "plots"], "ancient": [],
    }  # fmt: skip
    asked = Installed(tmp_path, "3.11.2", ["frame[plot]"])
    assert asked.packages["plots"].needed_by == ["frame"]
    assert asked.needed(["frame"]) == {"frame", "plots", "numbers"}
    assert asked.requires(asked.packages["frame"]) == ["numbers"]


def described(packages: Path, name: str, *lines: str, record: bytes = b"") -> None:
    """A package that says this of itself."""
    folder = packages / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines]))
    (folder / "RECORD").write_bytes(record)


def test_a_package_that_describes_itself_badly_hides_neither_others_nor_itself(tmp_path: Path) -> None:
    described(tmp_path, "honest")
    described(tmp_path, "marks", "Requires-Dist: honest; python_version ~= 'abc'", "Requires-Dist: honest")
    described(tmp_path, "files", record=b'files.py,sha256=x,no-number\n"open')
    described(tmp_path, "sizes", record=b"sizes.py,,99999999999999999999999999\nmore.py,,-5\n")
    described(tmp_path, "nested", f"Requires-Dist: honest; {'(' * 900}python_version > '3'{')' * 900}")
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    found = Installed(tmp_path, "3.11.2", locked=[("nameless", "1.0"), ("honest", "1.0")]).packages
    assert sorted(found) == ["files", "honest", "marks", "nameless", "nested", "sizes"]
    assert found["honest"].needed_by == ["marks"], "a marker that makes no sense holds nowhere"
    badly = Installed(tmp_path, "3.11.2")
    assert badly.requires(badly.packages["marks"]) == ["honest"]
    assert found["nameless"].version == "1.0", "what is in the lock can be removed"
    assert 0 <= found["sizes"].size < 1 << 50


def test_no_more_of_a_description_is_read_than_an_honest_one_has(tmp_path: Path) -> None:
    described(tmp_path, "large", "Summary: small", "", "x" * (3 * MAX_METADATA))
    described(tmp_path, "many", *(f"Requires-Dist: large; extra == 'e{number}'" for number in range(20_000)))
    assert len(FoundDistribution(tmp_path / "large-1.0.dist-info").read_text("METADATA") or "") == MAX_METADATA
    found = Installed(tmp_path, "3.11.2").packages
    assert found["large"].summary == "small"
    assert len(found["many"].requires) == MAX_REQUIRES


def test_a_long_marker_is_read_to_its_end(tmp_path: Path) -> None:
    described(tmp_path, "base")
    machines = " or ".join(f"platform_machine == 'machine{number}'" for number in range(20))
    described(tmp_path, "user", f"Requires-Dist: base; python_version > '3' or {machines}")
    assert Installed(tmp_path, "3.11.2").packages["base"].needed_by == ["user"]


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (b"[" * 1_000_000, "application/vnd.pypi.simple.v1+json"),
        (b'{"files": 5}', "application/vnd.pypi.simple.v1+json"),
        (b'{"files": [5, {"filename": 5}, {}]}', "application/vnd.pypi.simple.v1+json"),
        (b"<a x='" * 1_000_000, "text/html"),
        (b"<a " * 1_000_000, "text/html"),
        (b"\xff\0<a href", "text/html"),
    ],
)
def test_junk_of_an_index_offers_nothing_and_takes_no_time(page: bytes, kind: str) -> None:
    before = time.process_time()
    with contextlib.suppress(Unreachable):
        assert told_files(page, kind) == []
    assert time.process_time() - before < 5, "an HTML parser takes minutes"


def test_an_index_tells_of_a_bounded_number_of_files() -> None:
    assert len(told_files(b"<a href=x>" * (MAX_FILES + 1), "text/html")) == MAX_FILES


def test_links_of_an_index_are_read_as_people_write_them() -> None:
    page = b"""<a href="../alpha-1.0-py3-none-any.whl#sha256=ab" data-requires-python="&gt;=3.8,&lt;4">alpha</a><br/>
    <A data-yanked HREF='x/alpha%2D2.0.tar.gz?x=1'>b</A><a class=x href=alpha-3.0.tar.gz>c</a>
    <a data-yanked="it's bad > x" href="alpha-4.0.tar.gz"><abbr href="alpha-5.0.tar.gz">"""
    assert told_files(page, "text/html") == [
        OfferedFile("alpha-1.0-py3-none-any.whl", ">=3.8,<4"),
        OfferedFile("alpha-2.0.tar.gz", yanked=True),
        OfferedFile("alpha-3.0.tar.gz"),
        OfferedFile("alpha-4.0.tar.gz", yanked=True),
    ]


def test_a_bundle_that_claims_to_be_encrypted_is_damaged(tmp_path: Path) -> None:
    content = io.BytesIO()
    write_bundle(content, Lock(), "3.11.2", ["alpha"], [])
    damaged = bytearray(content.getvalue())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # APPNOTE 4.3.7 and 4.3.12: bit 0
        damaged[damaged.index(signature) + flags] |= 1
    with pytest.raises(ServiceError) as refused:
        read_bundle(io.BytesIO(damaged), "3.11.2", tmp_path)
    assert refused.value.code == "bad_bundle"
