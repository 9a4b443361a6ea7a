"""From F5 to a run: what the editor shows, with parameters if the script declares any."""

from __future__ import annotations

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.runs import Mode, RunKind, RunRequest
from engine.models.scripts import ScriptInfo
from tui.actions import action
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript
from tui.host import Host
from tui.runs.follow import RunFollower
from tui.runs.uploads import FileInputError, upload_all
from tui.screens.run_form import FilledForm, ModeSwitch, RunFormScreen

NO_NAME = "<unsaved>"


class RunStarter:
    """Starts runs of the text in the editor; remembers what was typed into each script's form for the session, but for
    what is secret."""

    def __init__(
        self,
        host: Host,
        open_script: OpenScript,
        connection: EngineConnection,
        follower: RunFollower,
        switch: ModeSwitch,
    ) -> None:
        self._host = host
        self._open_script = open_script
        self._connection = connection
        self._follower = follower
        self._switch = switch
        self._typed: dict[tuple[str, bool], tuple[str, ...]] = {}
        """By script, and whether the form had a line for arguments."""

    async def run(self, mode: Mode) -> EngineError | None:
        """Run what the editor shows: the saved script, or its unsaved text. Returns when the run has started.

        Args:
            mode: Of the moment in which the user asked; a form has its own.

        Returns:
            The refusal, if the script asks for permissions that nobody approved.

        Raises:
            EngineError: The engine refuses for another reason.
            EngineUnreachable: There is no engine.
        """
        return await self._begin(mode, with_form=False)

    async def run_with(self, mode: Mode) -> EngineError | None:
        """As ``run``, but always with the form, which has a line for arguments then."""
        return await self._begin(mode, with_form=True)

    async def _begin(self, mode: Mode, *, with_form: bool) -> EngineError | None:
        if not self._open_script.text.strip():
            self._host.notify_error("There is nothing to run: the editor is empty.")
            return None
        if self._open_script.is_document:
            self._host.notify(f"a document is not run; {action('preview').key} shows what its macros make of it")
            return None
        info = self._open_script.script
        try:
            shared = info is not None and info.shared
            if not shared and (with_form or (info is not None and info.params)):
                unsaved = self._open_script.path or NO_NAME
                await self._run_with_form(info or ScriptInfo(path=unsaved, title=""), arguments=with_form)
            else:
                await self._start(FilledForm({}, {}, (), None, (), (), mode))
        except EngineError as error:
            if error.code != "needs_approval":
                raise
            return error
        return None

    async def _run_with_form(self, info: ScriptInfo, *, arguments: bool) -> None:
        """Ask until the engine takes the parameters or the user gives up."""
        form_of = info.path, arguments
        problem, last = "", self._typed.get(form_of, ())
        while True:
            screen = RunFormScreen(
                info, self._connection.folder, self._switch, arguments=arguments, last=last, problem=problem
            )
            form = await self._host.push_screen_wait(screen)
            if form is None:
                return
            self._typed[form_of], last = form.kept, form.typed
            try:
                await self._start(form)
            except EngineError as error:
                if error.code != "bad_params":
                    raise
                problem = error.message
                if self._open_script.dirty:
                    problem += " This form shows the parameters of the saved text; save first if you changed them."
            except FileInputError as error:
                problem = str(error)
            else:
                return

    async def _start(self, form: FilledForm) -> None:
        if form.files:
            self._host.notify("sending " + ", ".join(file.name for file in form.files.values()))
        try:
            files = await upload_all(self._connection.client, form.files)
            self._host.notify("")
            await self._follower.start(self._request(form, files))
        except (EngineError, EngineUnreachable, FileInputError):
            self._host.notify("")  # nothing runs, whatever was said to be about to
            raise

    def _request(self, form: FilledForm, files: dict[str, str]) -> RunRequest:
        open_script = self._open_script
        params = dict(form.params)
        if not open_script.path:
            return RunRequest(
                kind=RunKind.EXEC,
                code=open_script.text,
                name=NO_NAME,
                argv=list(form.argv),
                timeout=form.timeout,
                mode=form.mode,
            )
        if open_script.dirty or open_script.info is None:
            self._host.notify("running the unsaved text")
        return RunRequest(
            kind=RunKind.SCRIPT,
            script=open_script.path,
            code=open_script.text if open_script.dirty or open_script.info is None else "",
            params=params,
            files=files,
            argv=list(form.argv),
            timeout=form.timeout,
            mode=form.mode,
            own_edits=open_script.own_edits.token(open_script.path),
        )
