"""Entry of a slot's processes: makes this folder a package of a private name and hands over.

python -I -S engine/worker/__main__.py                 the launcher of a slot; its configuration is its standard input
python -I -S engine/worker/__main__.py --trials FOLDER what this host gives, as JSON
python -I -S engine/worker/__main__.py --locks FOLDER  whether a lock broker works here, in words
python -I -S engine/worker/__main__.py --inside        the launcher of a slot, from within a user namespace

But for the environment's folder, nothing about the slot is in the arguments: the whole host can read those. And run as
a file, not as a folder, this module's frame is the first one of the process, with nothing of ``runpy`` below it.
"""

PACKAGE = "_gatewright_worker"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .child import Run


def _begin() -> "Run | None":
    """Be what the arguments say; return only in a child, with what it is to do, or when the trials are over."""
    import sys

    _adopt_folder()
    if sys.argv[1:2] == ["--inside"]:
        _begin_inside()
    if sys.argv[1:2] in (["--trials"], ["--locks"]):
        from _gatewright_worker import trials  # type: ignore[import-not-found]

        (trials.report if sys.argv[1] == "--trials" else trials.report_locks)(sys.argv[2])
        return None
    from _gatewright_worker.launcher import main  # type: ignore[import-not-found]

    run: Run = main().serve()
    return run


def _begin_inside() -> None:
    """Start again in a user namespace. Where there is none to be had, what comes then finds out, and says it."""
    import os
    import sys

    from _gatewright_worker.namespaces import begin_in_user_namespace  # type: ignore[import-not-found]
    from _gatewright_worker.oom import ZYGOTE, OomScore  # type: ignore[import-not-found]

    OomScore().set(ZYGOTE)  # before it: the account's own right, if it has any, sets how low it can be set later
    try:
        begin_in_user_namespace()
    except OSError as error:
        os.write(2, f"There is no user namespace for a slot: {error}\n".encode())
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-X", "utf8", __file__, *sys.argv[2:]])  # noqa: S606 - no shell


def _adopt_folder() -> None:
    """Let ``PACKAGE`` be this folder and take it off the path: scripts should find its modules under no name."""
    import os
    import sys
    from types import ModuleType

    folder = os.path.dirname(os.path.abspath(__file__))
    package = ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]


if __name__ == "__main__" and (run := _begin()) is not None:
    # The only frame below a script's own: launcher and template have returned from theirs, with all that they know.
    call = run.begin()
    while True:
        try:
            run.program.value = call()
        except BaseException as error:  # noqa: BLE001 - the script's failure is the run's outcome
            run.program.error = error
        call = run.go_on()
