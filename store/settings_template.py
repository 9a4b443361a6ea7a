"""The settings file of a new project: every setting with its default, explained. The engine reads it."""

SETTINGS_TEMPLATE = """\
# Settings of this Gatewright project. Lines that begin with "#" show the default; remove the "#" to change one.
# The engine reads this file when it starts, and [access] when it changes. It must belong to the project's owner and be
# writable by no other account.

[pool]
# Scripts that can run at the same time, 3 to 20.
# size = 3

# Runs that may wait for a free slot; one more is refused.
# queue_limit = 1000

# Seconds that a run may wait for a free slot, or for memory, before it is refused.
# queue_wait = 300.0

# Seconds that it may wait while a client of the API waits for its end; then that call is told to come again.
# api_queue_wait = 5.0

# Memory that stays free on this host when all that runs takes all that it asked for; one run more waits.
# memory_reserve = "64 MiB"

# Seconds between two health probes of an idle slot.
# health_interval = 30.0

# Memory that idle slots may take for packages that they have imported ahead of the scripts that use them.
# preload_memory = "256 MiB"

[limits]
# What a run gets when its script does not ask for more. Sizes are bytes or text such as "512 MiB".
# Seconds from the start of a run until it is stopped.
# timeout = 30.0

# Memory of a run.
# memory = "512 MiB"

# Output of a run that is kept. Of more than that, the first half and the last are kept, with a line between them that
# says how much is missing; the run goes on. A script whose header sets limits.output_stop is stopped there instead.
# output = "1 MiB"

# Size of a run's result as JSON.
# result = "1 MiB"

[ceilings]
# The most that a script's header or a request may ask for, and that a default may give.
# timeout = 3600.0
# memory = "4 GiB"

# Output of a run that is kept, and the size of its result as JSON.
# output = "64 MiB"
# result = "16 MiB"

# Size of the scratch folder of a run, which is memory, and the files a run may hold open at once.
# scratch = "256 MiB"
# open_files = 256

# Size in all of the files that a run leaves in its record.
# files = "16 MiB"

# Size of one file that is handed to a run.
# upload = "256 MiB"

[policy]
# What RESTRICTED scripts may import; gatewright modules lists it. "default": the standard library but for what reaches
# outside of a run, os, subprocess and threading. "practical": that with os and threading. "classic": a short list.
# The sandbox holds the same with each of them.
# preset = "default"

# Modules that RESTRICTED scripts may import beside that, such as ["numpy", "pandas"]. They must be installed in the
# scripts' environment.
# modules = []

# Modules that are blocked in both modes unless they are named here: threading, ctypes, telnetlib, paramiko.
# lifted = []

# Whether RESTRICTED scripts run although this host cannot give them the sandbox; every result then says so.
# allow_degraded = false

# Whether there are ADMIN runs although the engine runs as root.
# admin_as_root = false

# Memory of an ADMIN run with everything it started and its own /dev/shm; more of it ends the run. Memory that no
# process has mapped (memfd, System V) is counted only where the engine has a cgroup of its own: gatewright doctor.
# admin_memory = "2 GiB"

[access]
# What other accounts of this host may do: lists of names of accounts, and of groups with "@" before them, such as
# ["alice", "@plant"]. The project's owner and root may do everything. An account that is in several lists has the
# highest of these roles; one that is in none has no access. They count only where other accounts reach the engine's
# socket, as in a shared project (gatewright engine serve --shared); other hosts come with tokens: gatewright token.
# This section is read again when the file changes. With a mistake in it, the roles stay as they were.
# They may see scripts, and runs of their own.
# viewers = []

# They may also run saved scripts.
# operators = []

# They may also edit scripts, run code of their own, and see the runs of all.
# authors = []

# They may do everything. Their ADMIN runs can do what the engine's account can: give this role as you would give its
# password.
# admins = []

# Names under which clients on the network may call this engine, beside the addresses that it listens on.
# hosts = []

# Requests of one token that are answered at a time; one more waits for 2 seconds, then it is told to come again.
# in_flight = 32

[engine]
# Minutes without a client, a run or a task after which an engine that was started in the background ends. 0: never.
# idle_exit_minutes = 30

# Where the engine and its git look for programs.
# path = "/usr/local/bin:/usr/bin:/bin"

# Whether an engine in the foreground has its log in .gatewright/logs, too, beside stderr, which is the journal of a
# service. One in the background always has.
# log_file = true

[listen]
# Where clients reach the engine over TCP, such as "127.0.0.1:9089" (port 0: any free one). Empty: nowhere. Each request
# needs a token then (gatewright token create), and the engine does not leave when idle. Takes effect at the next start.
# address = ""

# Certificate, with those between it and a root, and its private key, as files in PEM with absolute paths. Without them
# only addresses of this host itself (127.0.0.1, ::1, localhost) are accepted. The key must be readable by the engine's
# account alone. Both are read again when they change.
# tls_cert = ""
# tls_key = ""

[assistant]
# A language model that people and approved scripts of this project may ask: the base of its chat API (as OpenAI's and
# those of local models are), such as "https://models.plant.example/v1" or "http://127.0.0.1:11434/v1", and the model.
# What they ask is sent there. Empty: there is none. Takes effect at the next start.
# url = ""
# model = ""

# File with its key, with an absolute path, readable by the engine's account alone; and a file in PEM with the
# authorities that vouch for its certificate, in place of the system's.
# key_file = ""
# ca_file = ""

# Seconds for an answer. Requests a day of each script (and of each caller without one), those of all together, and the
# size of all texts that are sent and come back in a day.
# timeout = 60
# script_requests = 200
# requests = 1000
# text = "10 MiB"

[packages]
# Where packages for scripts come from: the address of a package index, such as "https://packages.plant.example/simple/".
# Empty: the public one. "none": no index is asked. Name and password may stand in the address. extra_indexes are asked
# before it; a package comes from the first one that has it. Takes effect at the next start.
# index = ""
# extra_indexes = []

# Folder with wheels, with an absolute path. It is tried first, alone; the index is asked only where that fails.
# wheelhouse = ""

# File with the versions that packages may have, one "numpy<2.3" a line, with an absolute path.
# constraints = ""

# Whether packages without a wheel are built from their source. Building one runs its code as the engine's account.
# build = false

# Seconds for an installation.
# timeout = 900

# Disk space for the cache of what was fetched. It is looked after within ten minutes of a change.
# cache_size = "2 GiB"

# Disk space for the environments of scripts that name packages of their own, and the days for which one is kept that no
# run needed.
# scripts_size = "5 GiB"
# scripts_days = 30

[retention]
# Days for which the output of runs is kept, and its size in all.
# output_days = 14
# output_size = "1 GiB"

# Days for which the records of runs are kept.
# run_days = 90

# Versions of each script that are kept, and the days for which those of a deleted one are.
# versions = 50
# deleted_days = 90

# Days for which texts are kept that a crash left in the history without a record.
# unnamed_days = 30

[disk]
# Room that stays free on the project's disk, and the same in percent of the disk; the larger one counts. Below it the
# output of runs is not recorded, scripts and documents are not saved, until there is room. 0: use it up.
# keep_free = "500 MiB"
# keep_free_percent = 2

[audit]
# The system's log gets the head of the audit record each minute and before each ADMIN run, so that a record that was
# rebuilt or cut off can be told: gatewright audit --verify --head HASH. false: it gets none.
# syslog = true
# socket = "/dev/log"

[yield]
# While this host, or the gateway on it, is pressed, slots of the pool rest: they have no process and take no runs. Runs
# go on, at least one slot is left, and the slots come back by themselves. Takes effect at the next start.
# enabled = true

# Slots that never rest.
# keep = 1

# What presses: the load for each processor, and percent of the time in which something waits for a processor
# (/proc/pressure/cpu), both only while other programs than scripts use a quarter of the processors or more; less than
# so many percent of the memory available; a JVM of the gateway that uses so many percent of the processors.
# load = 2.0
# stalled = 60
# memory = 5
# gateway = 75

# The gateway's wrapper.log, with an absolute path, such as "/usr/local/bin/ignition/logs/wrapper.log". Naming it here
# lets the engine read its end, as the engine's account. Empty: it is not read. held_up: seconds of clock drift, or of
# garbage collection, that it may show within half a minute.
# wrapper_log = ""
# held_up = 2.0

# Seconds for which one of these limits is passed before a quarter of the slots, or one, rests; and for which all are
# well below theirs before as many come back.
# after = 20
# back = 60
"""
