"""Runs scripts on slots of warmed processes, each run in a process that nobody used before."""
