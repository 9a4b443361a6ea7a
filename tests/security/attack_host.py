"""Every attack, first in a plain process and then in RESTRICTED, without pytest, so that any account can do it.

    python attack_host.py FOLDER [--core] [NAME…]

``--core`` is for hosts without user namespaces: no plain runs, which other trials have. NAMEs are beginnings of the
names of attacks; none means all, and the positive controls. Prints one line of JSON: what was seen of each attack in
both worlds, of the positive controls, and of the host as a whole afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "integration")]

from catalogue import ALLOWED, ATTACKS  # noqa: E402
from place import PACKAGE, token  # noqa: E402
from pool_kit import plain_plans, plans, pool_of  # noqa: E402
from trial import LIMITS, RESTRICTED, Trial  # noqa: E402

MODULES = (PACKAGE, "numpy")
"""What the administrator of this trial allowed."""


async def main(folder: Path, core: bool, names: list[str]) -> None:
    begun = time.monotonic()
    place = folder / "place"
    place.mkdir()
    chosen = {name: a for name, a in ATTACKS.items() if not names or any(name.startswith(n) for n in names)}
    report: dict[str, Any] = {"uid": os.geteuid(), "plain": {}, "restricted": {}, "allowed": {}}
    settings = {"limits": LIMITS, "modules": MODULES, "scratch": folder / "scratch", "profile": RESTRICTED}
    trial = Trial(place, os.environ["GATEWRIGHT_SECRET"])
    try:
        async with pool_of(2, **(plain_plans() if core else plans()), **settings) as pool, trial.against(pool):
            report["isolation"] = pool.info().slots[0].isolation
            for name, attack in chosen.items():
                if not core:
                    report["plain"][name] = await trial.in_plain(attack)
                report["restricted"][name] = await trial.in_restricted(attack)
            for case in ALLOWED if not names or "allowed" in names else ():
                report["allowed"][case.name] = await trial.allowed(case)
            report["sweep"] = await trial.sweep()
    finally:
        trial.close()
    report["took"] = round(time.monotonic() - begun, 1)
    print(json.dumps(report))


if __name__ == "__main__":
    if "GATEWRIGHT_SECRET" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"GATEWRIGHT_SECRET": token()})
    arguments = [argument for argument in sys.argv[2:] if argument != "--core"]
    asyncio.run(main(Path(sys.argv[1]), "--core" in sys.argv, arguments))
