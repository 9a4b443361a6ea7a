"""Entry of a slot's processes: makes this folder a package of a private name and hands over to the launcher."""

import importlib
import importlib.util
import os
import sys

PACKAGE = "_gatewright_worker"


def _adopt_folder() -> None:
    """Load this folder's ``__init__`` as ``PACKAGE``: ``python -I`` puts no folder of ours on ``sys.path``, and none is wanted."""
    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load the worker from {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _adopt_folder()
    importlib.import_module(f"{PACKAGE}.launcher").main(sys.argv[1])
