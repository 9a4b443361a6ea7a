"""Scripts as plant engineers write them: the same bytes under plain Python and as a run, with the same output.

They lie in ``plant_scripts``; ``@INPUT@`` stands for the folder that each reads, which only the test knows. What they
write, they write into the folder they are started in: an empty one, in both worlds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import CliProject, cli_project
from plant_inputs import INPUTS

SCRIPTS = Path(__file__).with_name("plant_scripts")
PATIENCE = 60.0

IN_RESTRICTED: dict[str, list[list[str]]] = {
    "log_digest": [[]],
    "shift_report": [[]],
    "project_export": [[]],
    "historian": [[]],
    "config_compare": [[]],
    "tag_tool": [["check"], ["find", "*/Speed", "--type", "AtomicTag"], ["rename", r"Motor (\d)", r"Pump \1"]],
    "batch_log": [[]],
    "energy_pipeline": [[]],
    "tag_diff": [[]],
}
"""The arguments of each call, by script."""

QUICK = ("log_digest", "energy_pipeline", "historian", "tag_tool")
"""Those that stand for all of them in the ordinary suite."""

PRACTICAL = '[policy]\npreset = "practical"\nadmin_as_root = true\n'
RESULT = "import json, runpy, sys; print(json.dumps(runpy.run_path(sys.argv[1], run_name='__main__').get('result')))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


@pytest.fixture(scope="module")
def practical(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project", PRACTICAL) as made:
        yield made


def placed(project: CliProject, name: str, folder: Path) -> Path:
    """The script in the project, with its input in ``folder``, approved if it asks to read that."""
    source = folder / "source"
    source.mkdir()
    INPUTS[name](source)
    text = (SCRIPTS / f"{name}.py").read_text()
    project.script(f"plant/{name}.py", text.replace("@INPUT@", str(source)))
    if "@INPUT@" in text:
        approved = project.call("scripts", "approve", f"plant/{name}", "--yes")
        assert approved.returncode == 0, approved.stderr
    return project.root / "scripts" / "plant" / f"{name}.py"


def alone(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A program started in a new folder, with an environment as a login has it."""
    here = folder / f"run-{len(list(folder.iterdir()))}"
    here.mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=here, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def as_run(project: CliProject, name: str, *arguments: str, mode: str = "restricted") -> tuple[str, dict[str, Any]]:
    """What a run printed, and its record."""
    told = ["--", *arguments] if arguments else []
    done = project.call("run", f"plant/{name}", "--json", "--mode", mode, *told)
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return project.call("runs", "output", str(record["id"])).stdout, record


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(
            name, each, id=" ".join([name, *each]), marks=() if name in QUICK and each == calls[0] else pytest.mark.slow
        )
        for name, calls in IN_RESTRICTED.items()
        for each in calls
    ],
)
def test_it_does_in_restricted_what_python_does(
    project: CliProject, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    file = placed(project, name, tmp_path)
    plain = alone(tmp_path, sys.executable, str(file), *arguments)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout
    printed, record = as_run(project, name, *arguments)
    assert record["outcome"] == "ok", record
    assert printed == plain.stdout
    if "result" in file.read_text().splitlines()[-1]:
        value = alone(tmp_path, sys.executable, "-c", RESULT, str(file)).stdout.splitlines()[-1]
        assert record["value"] == json.loads(value)


def test_threads_and_sockets_do_in_admin_what_python_does(practical: CliProject, tmp_path: Path) -> None:
    file = placed(practical, "poll_devices", tmp_path)
    plain = alone(tmp_path, sys.executable, str(file))
    assert "'no answer': 2, 'ok': 10" in plain.stdout, plain.stderr
    printed, record = as_run(practical, "poll_devices", mode="admin")
    assert (record["outcome"], printed) == ("ok", plain.stdout)


def test_each_is_a_script_of_a_plant_and_not_a_line(tmp_path: Path) -> None:
    found = {path.stem: path for path in SCRIPTS.glob("*.py")}
    assert found.keys() == INPUTS.keys()
    assert len(found) == 10
    assert all(len(path.read_text().splitlines()) >= 50 for path in found.values())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="there is no uv here")
@pytest.mark.parametrize("name", INPUTS)
def test_uv_runs_the_same_file(practical: CliProject, tmp_path: Path, name: str) -> None:
    """The block that PEP 723 asks for is read by uv, too; what of it is ours is nothing to uv."""
    file = placed(practical, name, tmp_path)
    arguments = IN_RESTRICTED.get(name, [[]])[0]
    plain = alone(tmp_path, sys.executable, str(file), *arguments)
    by_uv = alone(tmp_path, "uv", "run", "--no-project", "--offline", "--python", sys.executable, str(file), *arguments)
    assert (by_uv.returncode, by_uv.stdout) == (plain.returncode, plain.stdout), by_uv.stderr


# -- what ordinary scripts import --------------------------------------------------------------------------------------

EVERYTHING = """
import sys, warnings
warnings.simplefilter("ignore")
failed, taken = {}, 0
for name in sorted(sys.stdlib_module_names - {"this", "_ios_support"}):
    try:
        __import__(name)
    except ModuleNotFoundError:
        pass  # refused, or of another system
    except BaseException as error:
        failed[name] = repr(error)
    else:
        taken += 1
result = {"failed": failed, "taken": taken}
"""

CONCURRENTLY = """
import asyncio
from concurrent.futures import ThreadPoolExecutor

async def squared(number):
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(pow, number, 2)

async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(squared(number)) for number in range(5)]
    return [task.result() for task in tasks]

with ThreadPoolExecutor(2) as pool:
    result = [asyncio.run(main()), list(pool.map(abs, [-1, -2]))]
"""

LOOPBACK = """
import asyncio

async def echo(reader, writer):
    writer.write(await reader.readexactly(4))
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"ping")
    answer = await asyncio.wait_for(reader.readexactly(4), 20)
    writer.close()
    server.close()
    return answer.decode()

result = asyncio.run(main())
"""

WITH_OS = """
import argparse, os, sys, threading

def main():
    args = argparse.ArgumentParser().parse_args([])
    worker = threading.Thread(target=os.makedirs, args=(os.path.join("a", "b"),))
    worker.start()
    worker.join()
    print(sorted(os.listdir(".")), os.sep, vars(args))
    return 0

if __name__ == "__main__":
    sys.exit(main())
"""


def test_every_allowed_module_of_the_standard_library_works_in_the_sandbox(project: CliProject) -> None:
    value = project.json("exec", EVERYTHING)["value"]
    assert value["failed"] == {}
    assert value["taken"] > 200


def test_asyncio_and_executors_work_in_restricted(project: CliProject) -> None:
    assert project.json("exec", CONCURRENTLY)["value"] == [[0, 1, 4, 9, 16], [1, 2]]


def test_asyncio_polls_in_admin(practical: CliProject) -> None:
    assert practical.json("exec", "--mode", "admin", LOOPBACK)["value"] == "ping"


def test_os_and_threads_work_in_restricted_by_the_practical_preset(project: CliProject, practical: CliProject) -> None:
    done = practical.call("exec", WITH_OS)
    assert (done.returncode, done.stdout) == (0, "['a'] / {}\n"), done.stderr
    refused = project.call("exec", WITH_OS)
    assert refused.returncode == 1
    assert "pathlib" in refused.stderr
    assert 'policy.preset = "practical"' in refused.stderr
