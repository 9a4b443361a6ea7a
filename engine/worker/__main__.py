"""Entry of a slot's processes: makes this folder a package of a private name and hands over.

python -I engine/worker '{"control": …}'    the launcher of a slot
python -I engine/worker --trials FOLDER     what this host gives, as JSON
"""

import os
import sys
from types import ModuleType

PACKAGE = "_gatewright_worker"


def _adopt_folder() -> None:
    """Let ``PACKAGE`` be this folder and take it off the path: scripts should find its modules under no name."""
    folder = os.path.dirname(os.path.abspath(__file__))
    package = ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]


if __name__ == "__main__":
    _adopt_folder()
    if sys.argv[1] == "--trials":
        from _gatewright_worker.trials import report  # type: ignore[import-not-found]

        report(sys.argv[2])
    else:
        from _gatewright_worker.launcher import main  # type: ignore[import-not-found]

        main(sys.argv[1])
