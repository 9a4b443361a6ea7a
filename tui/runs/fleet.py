"""One script on many gateways, from the console: what is asked first, and the request that each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.client.client import EngineClient
from engine.client.fleet import FleetRun
from engine.client.gateways import Gateway
from engine.client.starter import LaunchError
from engine.client.target import Target
from engine.models.runs import Mode, RunKind, RunRequest
from tui.actions import action
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript
from tui.host import Host
from tui.runs.uploads import FileInputError, upload_all
from tui.screens.run_form import FilledForm, RunFormScreen

CLIENT = "console"
NO_NAME = "<unsaved>"

NOT_ADMIN = "On many gateways runs are RESTRICTED here; gatewright run --on has --mode admin."


@dataclass(frozen=True, slots=True)
class FleetRequest:
    """What is to run on each gateway.

    Attributes:
        script: Its path; empty for a text without a name.
        code: The text, where there is no script.
        form: The parameters.
    """

    script: str
    code: str
    form: FilledForm

    @property
    def name(self) -> str:
        """What to call it."""
        return self.script or NO_NAME

    def on(self, targets: Mapping[str, Target | str], names: Sequence[str]) -> FleetRun:
        """Return the run on these gateways; nothing is asked yet.

        Args:
            targets: How each gateway is reached, or the sentence that says why it is not.
            names: Of those that are meant.
        """

        gateways = [Gateway(name) for name in names]
        return FleetRun(gateways, self._prepare, CLIENT, target=lambda one: _target(targets, one.name))

    async def _prepare(self, client: EngineClient) -> RunRequest:
        """Send the files of the form to one engine, and return the request for it."""
        form = self.form
        try:
            files = await upload_all(client, form.files)
        except FileInputError as error:
            raise LaunchError(str(error), exit_code=2) from None
        return RunRequest(
            kind=RunKind.SCRIPT if self.script else RunKind.EXEC,
            script=self.script,
            code=self.code,
            name="" if self.script else NO_NAME,
            params=dict(form.params),
            files=files,
            argv=list(form.argv),
            timeout=form.timeout,
            mode=Mode.RESTRICTED,
        )


async def connect_to(targets: Mapping[str, Target | str], name: str) -> EngineClient:
    """Connect to one of the gateways; the caller closes the client.

    Raises:
        LaunchError: It cannot be reached, or this caller may not.
    """
    return await _target(targets, name).connect(CLIENT)


def _target(targets: Mapping[str, Target | str], name: str) -> Target:
    found = targets[name]
    if isinstance(found, str):
        raise LaunchError(found, exit_code=2)
    return found


class FleetStarter:
    """Finds out what is to run on many gateways.

    Args:
        host: Asks and tells.
        open_script: What the editor shows.
        connection: Knows where relative paths of files begin.
    """

    def __init__(self, host: Host, open_script: OpenScript, connection: EngineConnection) -> None:
        self._host = host
        self._open_script = open_script
        self._connection = connection
        self._typed: dict[str, tuple[str, ...]] = {}

    async def ask(self) -> FleetRequest | None:
        """Ask for the parameters of the script in the editor; None, and the user told, where nothing is to run.

        Each gateway runs its own script of that path, so the text must be saved: what comes back is not to be taken
        for the answer of a text that was only here.
        """
        opened = self._open_script
        if not opened.text.strip():
            self._host.notify_error("There is nothing to run: the editor is empty.")
        elif opened.is_document:
            self._host.notify_error("A document is not run; open the script that is to run on the gateways.")
        elif opened.path and (opened.dirty or opened.script is None):
            self._host.notify_error(
                f"Each gateway runs its own {opened.path}, so save this text first: {action('save').key}."
            )
        elif opened.script is not None and opened.script.shared:
            self._host.notify_error(f"{opened.path} holds shared code, which scripts import; it is not run by itself.")
        else:
            return await self._with_parameters()
        return None

    async def _with_parameters(self) -> FleetRequest | None:
        info, text = self._open_script.script, self._open_script.text
        form = FilledForm({}, {}, (), None, (), (), Mode.RESTRICTED)
        if info is not None and info.params:
            last = self._typed.get(info.path, ())
            screen = RunFormScreen(info, self._connection.folder, _Restricted(self._host), last=last)
            filled = await self._host.push_screen_wait(screen)
            if filled is None:
                return None
            form, self._typed[info.path] = filled, filled.kept
        return FleetRequest("", text, form) if info is None else FleetRequest(info.path, "", form)


class _Restricted:
    """The mode of runs on many gateways: ADMIN is asked for at each, or on the command line."""

    mode = Mode.RESTRICTED
    just_ended = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def switch(self) -> None:
        self._host.notify_error(NOT_ADMIN)
