"""Entry of a slot's processes: makes this folder a package of a private name and hands over to the launcher."""

import os
import sys
from types import ModuleType

PACKAGE = "_gatewright_worker"


def _adopt_folder() -> None:
    """Let ``PACKAGE`` be this folder: ``python -I`` puts it on no path, and scripts should find it on none."""
    package = ModuleType(PACKAGE)
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[PACKAGE] = package


if __name__ == "__main__":
    _adopt_folder()
    from _gatewright_worker.launcher import main  # type: ignore[import-not-found]

    main(sys.argv[1])
