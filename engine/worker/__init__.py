"""What runs inside a slot's processes: standard library only, started by file path.

The interpreter of the project's environment runs this folder: ``python -I …/engine/worker``. ``__main__`` gives the
folder the private package name ``_gatewright_worker``, so that scripts never see a package called ``engine``. Inside,
modules import each other relatively; the host imports a few constants, for the formats both ends must agree on.

A slot's processes: the launcher (owns namespaces and mounts, dies with the engine) forks the template (pid 1 of its own
pid namespace, never runs a script), which forks one child for each run. The first two are the slot's zygote.

Every module that is imported here costs each slot its memory, which is why ``typing``, ``dataclasses`` and the Python
half of ``socket`` are left out: each pulls in half a megabyte and more.
"""
