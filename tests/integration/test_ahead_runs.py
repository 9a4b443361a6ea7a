"""From a run's code to what it finds imported, through a whole engine."""

from __future__ import annotations

from pathlib import Path

from pool_kit import until

from engine import Engine
from engine.config import PolicySection, Settings
from engine.models.checks import CheckRequest
from engine.models.runs import Outcome
from engine.pool.environment import python_build
from engine.services.scripts.checks import ScriptChecks
from store.frontmatter.read import Frontmatter

CODE = "import sys\nresult = 'numpy' in sys.modules\nimport numpy"
HEADER = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["numpy"]\n# ///\n'


async def found(engine: Engine) -> object:
    """Whether a run finds the package imported."""
    run = await engine.execute(CODE)
    assert run.outcome is Outcome.OK, run
    return run.value


async def test_code_that_imports_a_package_finds_it_the_next_time(tmp_path: Path) -> None:
    settings = Settings(policy=PolicySection(modules=("numpy",)))
    async with Engine.open(tmp_path / "plant", pool_size=2, settings=settings) as engine:
        environment = engine.pool.environment
        (environment.packages / "numpy").mkdir()
        (environment.packages / "numpy" / "__init__.py").write_text("")
        assert await found(engine) is False
        await until(lambda: any(slot.ahead == ["numpy"] for slot in engine.pool.info().slots), "a slot is warm")
        assert await found(engine) is True

        told = engine.pool_service.info()
        version = (await python_build(environment.interpreter)).split()[0].rstrip("+")
        assert told.python == environment.version == version
        assert {(slot.python, slot.environment) for slot in told.slots} == {(version, "")}

        asked: list[tuple[str, tuple[str, ...]]] = []

        async def expect(path: str, front: Frontmatter) -> None:
            asked.append((path, front.dependencies))

        own = engine.checks
        checks = ScriptChecks(own._examiner, own._imports, own._rules, own._shared, expect)
        for text in (HEADER, "result = 1"):
            await checks.check(CheckRequest(text=text, path="reports/day.py"), engine.owner)
        assert asked == [("reports/day.py", ("numpy",))]
