"""``python -m engine``: entry of daemon, doctor and restored backups. People use ``gatewright``, which comes here."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.command == "doctor":
        return _doctor(options)
    if options.command == "restore":
        from engine.restoring import restored

        return restored(options.file, options.folder)
    if options.background and os.fork():
        # Whoever started us waits for this process only; the engine itself belongs to nobody who could forget to wait.
        os._exit(0)
    return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    from engine.daemon.main import ServeOptions, serve

    return serve(
        ServeOptions(
            project=options.project.resolve(),
            background=options.background,
            ready_fd=options.ready_fd,
            idle_exit=options.idle_exit,
            pool_size=options.pool_size,
            become=not options.stay,
            listen=_listen(options),
            shared=options.shared,
            **({} if options.group is None else {"group": options.group}),
        )
    )


def _listen(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings of ``[listen]`` that the command line gives."""
    given = {
        "listen.address": options.listen,
        "listen.tls_cert": options.tls_cert and str(options.tls_cert.absolute()),
        "listen.tls_key": options.tls_key and str(options.tls_key.absolute()),
    }
    return {key: value for key, value in given.items() if value is not None}


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor import diagnose, explain

    if options.explain is not None:
        return explain(options.explain)
    return diagnose(options.project, as_json=options.json, become=not options.stay)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gatewright-engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="be the engine of a project until told to leave")
    serve.add_argument("--project", type=Path, default=Path())
    serve.add_argument("--background", action="store_true", help="detach, and leave when nobody needs the engine")
    serve.add_argument("--ready-fd", type=int, help="file descriptor to report readiness to")
    serve.add_argument("--idle-exit", type=float, metavar="SECONDS", help="leave after this time without use; 0: never")
    serve.add_argument("--pool-size", type=int, metavar="N", help="number of slots")
    serve.add_argument("--listen", metavar="HOST:PORT", help="listen over TCP, too; without TLS on loopback only")
    serve.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain in PEM")
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key in PEM, mode 0600")
    serve.add_argument("--shared", metavar="ID", default="", help="serve a group, too: /run/gatewright/ID/engine.sock")
    serve.add_argument("--group", metavar="GROUP", help="whose members may use it; else the group gatewright")
    serve.add_argument("--stay", action="store_true", help="refuse a project of another account, as root too")
    doctor = commands.add_parser("doctor", help="what this host gives to an engine")
    doctor.add_argument("--project", type=Path, default=None)
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument("--explain", metavar="HOST", nargs="?", const="", help="what is known of a kind of host")
    doctor.add_argument("--stay", action="store_true", help="as for serve")
    restore = commands.add_parser("restore", help="look a backup over, and make a project of it in a new folder")
    restore.add_argument("file", type=Path)
    restore.add_argument("folder", type=Path, nargs="?")
    return parser


if __name__ == "__main__":
    sys.exit(main())
