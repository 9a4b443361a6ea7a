"""Runs scripts on slots of warmed processes, each run in a process that nobody used before."""

from engine.pool.job import (
    FileInput,
    Job,
    JobRejected,
    Limits,
    Profile,
    QueueFull,
    RunSink,
    SandboxUnavailable,
    SilentSink,
)
from engine.pool.outcome import Ending, ReturnedFile
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings

__all__ = [
    "Ending",
    "FileInput",
    "Job",
    "JobRejected",
    "Limits",
    "Pool",
    "PoolSettings",
    "Profile",
    "QueueFull",
    "ReturnedFile",
    "RunSink",
    "SandboxUnavailable",
    "SilentSink",
]
