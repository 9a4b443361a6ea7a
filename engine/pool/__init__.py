"""Runs scripts on slots of warmed processes, each run in a process that nobody used before."""

from engine.pool.child import describe_size
from engine.pool.job import FileInput, Job, JobRejected, Limits, Profile, QueueFull, RunSink, SandboxUnavailable
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.pool.returned import ReturnedFile
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
    "describe_size",
]
