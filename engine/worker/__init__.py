"""What runs inside a slot's processes: standard library only, started by file path, never imported by the engine as a whole.

The interpreter of the project's environment runs this folder: ``python -I …/engine/worker``. ``__main__`` then gives the folder the
private package name ``_gatewright_worker``, so that scripts never see a package called ``engine``. Inside, modules import each other
relatively; the host imports ``wire`` and a few constants, for the formats that both ends must agree on.

A slot's processes: the launcher (waits, dies with the engine) starts the zygote (pid 1 of its own pid namespace, owns the mounts),
which starts the template (warmed, never runs a script), which forks one child for each run.

Every module that is imported here costs each slot its memory, which is why ``typing``, ``dataclasses`` and the Python half of ``socket``
are left out: each pulls in half a megabyte and more.
"""
