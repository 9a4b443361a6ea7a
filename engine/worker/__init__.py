"""What runs inside a slot's processes: standard library only, started by file path.

The interpreter of the project's environment runs this folder: ``python -I …/engine/worker``. ``__main__`` gives the
folder the private package name ``_gatewright_worker``, so that scripts never see a package called ``engine``. Inside,
modules import each other relatively; the host imports a few constants, for the formats both ends must agree on.

A slot's processes: the launcher (waits, dies with the engine) starts the zygote (pid 1 of its own pid namespace, owner
of the mounts), which starts the template (never runs a script), which forks one child for each run.

Every module that is imported here costs each slot its memory, which is why ``typing``, ``dataclasses`` and the Python
half of ``socket`` are left out: each pulls in half a megabyte and more.
"""
