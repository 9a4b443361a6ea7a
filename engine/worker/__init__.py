"""What runs inside a slot's processes: standard library only, started by file path, never imported by the engine as a whole.

The interpreter of the project's environment runs this folder with ``python -I …/engine/worker``. ``__main__`` then gives the folder
the private package name ``_gatewright_worker``, so that scripts never see a package called ``engine``. Inside, modules import each
other relatively; the host imports ``engine.worker.wire`` alone, for the formats both ends must agree on.

A slot's processes: the launcher (waits, dies with the engine) starts the zygote ``Z`` (pid 1 of its own pid namespace, owns the mounts),
which starts the template ``T`` (warmed, never runs a script), which forks one child for each run.
"""
