"""Every attack, first in a plain process and then in RESTRICTED, without pytest, so that any account can do it.

    python attack_host.py FOLDER [--core] [--variants] [--without=LAYER] [--imports=WHAT] [NAME…]

``--core`` is for hosts without user namespaces: no plain runs, which other trials have. ``--variants`` are tried only
if asked for. ``--without`` takes a layer of the sandbox away (``without.py``): no plain runs either. ``--imports`` is
``practical`` (the preset) or ``everything`` (whatever there is may be imported): no plain runs and no controls, which
belong to the default. NAMEs are beginnings of the names of attacks; none means all, and the positive controls. Prints
one line of JSON: what was seen of each attack in both worlds, of the positive controls, and of the host as a whole
afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "integration")]

from catalogue import ALLOWED, ATTACKS, VARIANTS  # noqa: E402
from place import PACKAGE, token  # noqa: E402
from pool_kit import ADMIN, plain_plans, plans, pool_of, run  # noqa: E402
from trial import LIMITS, RESTRICTED, Trial  # noqa: E402
from without import Without  # noqa: E402

from engine.worker.imports import BLOCKED  # noqa: E402

MODULES = (PACKAGE, "numpy")
"""What the administrator of this trial allowed."""


ADMIN_MEMORY = 128 << 20


IMPORTS: dict[str, dict[str, Any]] = {
    "": {"modules": MODULES},
    "practical": {"modules": MODULES, "preset": "practical"},
    "everything": {"modules": (*MODULES, *sys.stdlib_module_names), "lifted": BLOCKED, "preset": "practical"},
}


async def main(folder: Path, core: bool, variants: bool, without: str, imports: str, names: list[str]) -> None:
    begun = time.monotonic()
    tempfile.tempdir = str(folder)
    chosen = {
        name: attack
        for name, attack in ATTACKS.items()
        if (not names or name.startswith(tuple(names))) and (variants or name not in VARIANTS)
    }
    report: dict[str, Any] = {"uid": os.geteuid(), "plain": {}, "restricted": {}, "admin": {}, "allowed": {}}
    settings: dict[str, Any] = plain_plans() if core else plans()
    reduced = Without(without, folder, settings) if without else None
    settings = reduced.settings if reduced else settings
    settings |= {"limits": LIMITS, "scratch": folder / "scratch", "profile": RESTRICTED, **IMPORTS[imports]}
    alone = bool(core or without or imports)
    trial = Trial(folder, os.environ["GATEWRIGHT_SECRET"])
    try:
        async with pool_of(2, **settings) as pool, trial.against(pool):
            report["isolation"] = pool.info().slots[0].isolation
            report["python"] = (await run(pool, "import sys\nresult = sys.version", profile=RESTRICTED)).value
            for name, attack in chosen.items():
                if not alone:
                    report["plain"][name] = await trial.in_plain(attack)
                report["restricted"][name] = await trial.in_restricted(attack)
            for case in ALLOWED if not imports and (not names or "allowed" in names) else ():
                report["allowed"][case.name] = await trial.allowed(case)
            report["sweep"] = await trial.sweep()
        administrative = {name: attack for name, attack in chosen.items() if attack.admin and not alone}
        if administrative:
            async with pool_of(1, **settings | {"profile": ADMIN, "admin_memory": ADMIN_MEMORY}) as pool:
                for name, attack in administrative.items():
                    report["admin"][name] = await trial.in_admin(pool, attack)
    finally:
        trial.close()
    report["noticed"] = sorted(reduced.noticed) if reduced else []
    report["took"] = round(time.monotonic() - begun, 1)
    print(json.dumps(report))


if __name__ == "__main__":
    if "GATEWRIGHT_SECRET" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"GATEWRIGHT_SECRET": token()})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and leave the host as it was
    arguments = [argument for argument in sys.argv[2:] if not argument.startswith("--")]
    layer = next((argument[10:] for argument in sys.argv if argument.startswith("--without=")), "")
    imports = next((argument[10:] for argument in sys.argv if argument.startswith("--imports=")), "")
    asyncio.run(main(Path(sys.argv[1]), "--core" in sys.argv, "--variants" in sys.argv, layer, imports, arguments))
