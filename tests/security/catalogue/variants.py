"""Which attacks try the same as another one in other words.

What an attack stands for is tried whenever the tests run; its variants with the long tests. An attack that is not named
here as a variant is a kind of its own.
"""

from __future__ import annotations

from catalogue.own_files import CALLS, OF_A_FILE

_STANDING_FOR_CALLS = {
    "library": "chmod fchmod utime symlink-beside link-into-scratch open-by-symlink",
    "readable": "chmod fchmod utime link-into-scratch",
    "readable-file": "chmod",
    "file-to-write": "chmod futimens",
}
"""Of the calls on each kind of target in ``own_files``."""

_VARIANTS = {
    "files": {
        "open": "fileio open-code codecs linecache tokenize fileinput pathlib shutil-copy source-loader runpy "
        "zipimport zipfile",
        "sqlite3": "sqlite3-attach",
        "project-database": "project-script",
        "listdir": "scandir walk glob",
        "proc-self-root": "proc-self-cwd proc-thread-self",
        "dot-dot": "home",
        "dirfd-of-root": "dirfd-of-scratch dirfd-path-only",
        "chdir": "fchdir",
        "symlink": "symlink-to-folder",
    },
    "writes": {
        "open-w": "open-a open-r+",
        "truncate": "truncate-raw ftruncate",
        "create": "creat-raw mkfifo mknod mknod-socket by-new-database by-logging",
        "rename": "rename-over rename-exchange",
        "chmod": "fchmod chmod-raw fchmodat2",
        "utime": "utime-raw utimes-raw futimesat-raw utimensat-descriptor",
        "setxattr": "lsetxattr removexattr",
        "by-dot-dot": "by-proc-root by-dirfd",
        "compiled-module": "compiled-module-new compiled-module-replaced",
        "readable-chmod": "readable-fchmod",
        "readable-utime": "readable-futimens",
        "readable-setxattr": "readable-fsetxattr",
        "readable-truncate": "readable-o-trunc",
        "readable-hard-link": "readable-linked-in",
        "locks": "read-lock open-file-lock",
    },
    "locks": {
        "library-record": "library-flock library-flock-waiting library-record-waiting library-open-file "
        "library-open-file-waiting library-unlock library-by-its-link library-upper-bits "
        "library-upper-bits-of-record library-in-a-thread",
        "library-behind-an-own-file": "library-duplicate",
        "granted-flock": "granted-flock-waiting granted-record-waiting granted-open-file-waiting granted-unlock "
        "granted-duplicate granted-by-its-link granted-upper-bits granted-upper-bits-of-record granted-in-a-thread",
        "granted-record-for-writing": "granted-record granted-open-file granted-open-file-for-writing",
    },
    "write_grant": {
        "special-open": "special-openat-folder special-open-sticky special-open-exclusive special-opener "
        "special-open-of-c special-open-high-bits",
        "special-mkdir": "special-mkdir-folder special-makedirs",
        "special-chmod": "special-fchmod special-fchmodat2",
        "open-to-all-file": "open-to-all-group open-to-all-others",
        "open-to-all-by-path": "open-to-all-descriptor",
        "no-file-pipe": "no-file-socket no-file-bound-socket no-file-symbolic-link",
    },
    "own_files": {
        "own-set-user-id-chmod": "own-set-user-id-high-bits own-set-user-id-os-chmod own-set-user-id-path",
        "own-set-user-id-fchmod": "own-set-user-id-fchmod-to-write own-set-user-id-os-fchmod",
        "own-set-user-id-fchmodat2-descriptor": "own-set-user-id-fchmodat own-set-user-id-fchmodat2",
        "own-others-write-chmod": "own-others-write-high-bits own-others-write-os-chmod own-others-write-path "
        "own-others-write-fchmod own-others-write-fchmod-to-write own-others-write-os-fchmod "
        "own-others-write-fchmodat own-others-write-fchmodat2 own-others-write-fchmodat2-descriptor",
        "moved-rename": "moved-exchange moved-link moved-linked-descriptor moved-move",
        "granted-fchmod-read-only": "granted-fchmodat2",
        "granted-utime": "granted-futimens",
        "granted-symlink": "granted-symlink-inside",
        "many-links": "many-symlinks many-long-symlinks",
        "device-utime": "device-utime-zero device-utime-descriptor device-utime-standard-input device-utime-raw",
    },
    "network": {
        "socket-inet-stream": "socket-inet-dgram socket-inet-icmp socket-inet6-stream socket-inet6-dgram "
        "socket-inet-mptcp socket-inet-sctp",
        "socket-unix-stream": "socket-unix-dgram socket-unix-seqpacket",
        "socket-netlink-route": "socket-netlink-audit socket-netlink-netfilter socket-netlink-uevent",
        "socket-vsock-stream": "socket-vsock-dgram",
        "socket-can": "socket-tipc socket-bluetooth socket-xdp socket-kcm socket-rds socket-smc socket-qipcrtr "
        "socket-ax25 socket-key socket-llc socket-pppox socket-phonet socket-ieee802154",
        "tcp": "tcp-fast-open",
        "udp": "dns-question log-handler",
        "unix-path": "unix-path-relative",
        "pair-sendto": "pair-sendmsg pair-connect pair-sendmmsg",
        "asyncio": "urllib",
    },
    "processes": {
        "fork": "fork-raw forkpty",
        "clone": "clone-untraced",
        "posix-spawn": "spawn",
        "subprocess": "subprocess-vfork popen pty-spawn multiprocessing",
        "system": "system-of-c",
        "kill-victim": "tkill-victim tgkill-victim queue-victim",
        "kill-engine": "tkill-engine tgkill-engine queue-engine queue-thread",
        "pidfd-victim": "pidfd-engine",
        "nice": "affinity limits scheduler io-priority",
        "clock-of-victim": "clock-of-engine",
        "asynchronous-owner": "asynchronous-socket-owner",
    },
    "memory_of_others": {"maps": "status"},
    "introspection": {
        "walk-frames": "walk-generator-frame walk-traceback",
        "walk-environ": "walk-environ-of-c",
    },
    "arguments": {
        "frames": "current-frames frames-of-a-traceback",
    },
    "kernel_surface": {
        "io-uring-setup": "io-uring-enter io-uring-register",
        "add-key": "request-key keyctl keyctl-join",
        "unshare-user": "unshare-files unshare-nothing",
        "personality": "personality-set",
        "memfd-create": "memfd-secret",
        "mount": "umount move-mount mount-setattr open-tree statmount listmount",
        "shmget": "shmat semget msgget",
        "mq-open": "mq-unlink",
        "process-vm-readv": "process-vm-writev process-mrelease",
        "pidfd-open": "pidfd-getfd pidfd-send-signal",
        "set-mempolicy": "mbind get-mempolicy migrate-pages",
        "seccomp-action": "seccomp-notify seccomp-filter",
        "setuid": "setresuid setgid",
        "uselib": "lookup-dcookie sysfs ustat lsm-self-attributes",
        "sync": "syncfs",
        "urgent-byte": "urgent-byte-received",
        "futex-lock-pi": "futex-trylock-pi futex-requeue-pi",
        "mlock": "mlockall",
        "bpf": "bpf-program",
        "fsopen": "fspick fsmount fsconfig",
        "unshare-network": "unshare-mounts",
        "init-module": "finit-module delete-module",
        "kexec-load": "kexec-file-load",
        "iopl": "ioperm",
        "swapon": "swapoff",
        "ioctl-fioasync": "ioctl-fiosetown ioctl-siocspgrp ioctl-siocgifconf ioctl-fiogetown",
        "ioctl-fs-ioc-fiemap": "ioctl-ficlone ioctl-fs-ioc-getflags ioctl-fs-ioc-fsgetxattr ioctl-figetbsz "
        "ioctl-fs-ioc-setflags ioctl-fs-ioc-add-encryption-key",
        "pr-set-dumpable": "pr-set-keepcaps pr-set-tsc pr-set-speculation-ctrl pr-sched-core pr-set-io-flusher "
        "pr-set-pdeathsig pr-set-child-subreaper",
    },
    "memory": {
        "heap": "one-block growing-list decompressed",
        "private-anonymous": "many-small-maps",
        "scratch-file": "scratch-files scratch-allocated",
        "sysv-shm": "sysv-sem sysv-msg",
    },
    "resources": {
        "endless-power": "endless-regular-expression",
        "endless-exit-handler": "endless-finaliser",
        "endless-sleep": "endless-read-of-the-channel",
        "inodes": "deep-folders",
        "flood-stdout": "flood-stderr flood-print flood-both flood-threads",
        "flood-descriptor-1": "flood-descriptor-2",
    },
    "frames": {
        "tiny": "one-by-one streams-in-turn descriptors-in-turn threads",
    },
    "protocol": {
        "oversized-output": "oversized-result long-output",
        "hello-again": "hello-replayed",
        "call": "call-of-nothing reply",
        "unknown-type": "type-zero chunk run-turned-round",
        "empty-result": "result-head-too-long result-head-cut",
        "result-not-json": "result-a-list result-nan result-bad-utf-8 result-lone-surrogate wrong-types",
        "result-deep": "result-deep-head",
        "result-huge-number": "result-long-number result-number-of-5000-digits result-long-fraction",
        "claims-timeout": "claims-cancelled claims-interrupted claims-unavailable claims-signal",
        "cut-header": "cut-payload cut-result",
    },
    "leftovers": {
        "file": "hidden-file folder",
        "folder-mode": "folder-xattr folder-times",
        "patched-module": "patched-class builtins patched-builtin main stdout",
        "environ": "environ-of-c",
        "path": "import-hook path-hook",
        "umask": "nice limits affinity timer-slack process-name",
        "random-state": "decimal-context locale linecache warnings",
        "interned-secret": "bytes-in-memory",
        "executable-patched": "library-text-patched",
        "temporary-file": "shared-file",
        "mount": "namespace",
    },
}
"""By subject: what stands for them, and its variants."""

VARIANTS = {
    f"{subject}-{variant}": f"{subject}-{name}"
    for subject, kinds in _VARIANTS.items()
    for name, variants in kinds.items()
    for variant in variants.split()
}
"""The variants, and what stands for each."""

VARIANTS |= {
    f"own_files-{target}-{call}": f"own_files-{target}-{standing.split()[0]}"
    for target, standing in _STANDING_FOR_CALLS.items()
    for call in (CALLS if target in ("library", "readable") else OF_A_FILE)
    if call not in standing.split()
}
VARIANTS |= {
    f"own_files-own-{mode}-{call}": "own_files-own-set-user-id-chmod"
    for mode in ("set-group-id", "sticky")
    for call in ("chmod", "fchmod", "fchmodat", "fchmodat2")
}
