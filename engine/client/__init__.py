"""How console and command line reach an engine, or start one."""
