"""``documents``: the project's documents."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

import click

from engine.client.answers import EngineError
from engine.models.documents import (
    DocumentInfo,
    DocumentList,
    DocumentSearchResult,
    DocumentText,
    FoundDocument,
    ImageList,
    SaveDocumentRequest,
    TagCounts,
)
from engine.models.scripts import DeleteRequest, RenameRequest
from engine.models.versions import RestoreRequest, ScriptVersion, VersionText
from engine.registry.documents import (
    DOCUMENTS_DELETE,
    DOCUMENTS_DELETED,
    DOCUMENTS_HISTORY,
    DOCUMENTS_IMAGES,
    DOCUMENTS_LIST,
    DOCUMENTS_LOAD,
    DOCUMENTS_RENAME,
    DOCUMENTS_RESTORE,
    DOCUMENTS_SAVE,
    DOCUMENTS_SEARCH,
    DOCUMENTS_TAGS,
    DOCUMENTS_VERSION,
    DocumentListParams,
    DocumentParams,
    DocumentSearchParams,
    DocumentVersionParams,
    ImageParams,
    TagsParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import DOCUMENT, Count, SourceFile
from tui.commands.errors import CommandError
from tui.commands.history import find_version, print_deleted, print_versions
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.text.formats import clock, size
from tui.text.new_document import document_skeleton
from tui.text.sanitise import sanitise_line, sanitise_source
from tui.text.script_names import quoted

if TYPE_CHECKING:
    from engine.client.client import EngineClient

NO_DOCUMENTS = "there are no documents yet; gatewright documents new NAME makes one"


@click.group("documents", cls=CommandGroup)
@common_options
def documents() -> None:
    """See, make, rename, delete and bring back the project's documents.

    Documents are texts below the folder documents: .md, .txt, .html, .rst, .adoc and the like, in UTF-8. A block of
    YAML between two lines of --- at the top of one can say its title, date, status, tags, language and images; other
    keys are kept, and macros can read them. Images belong to a document by a link in its text, by images:, or by
    "documents:" in a file IMAGE.meta beside the image, which can say title, alt, caption and created, too.

    \b
    Examples:
      gatewright documents list
      gatewright documents new reports/night --title 'Night shift'
      gatewright documents show reports/night
    """


@documents.command("list")
@click.argument("part", required=False)
@click.option("--status", metavar="STATUS", help="Only those with this status.")
@click.option("--tag", metavar="TAG", help="Only those with this tag.")
@common_options
@click.pass_obj
def list_documents(invocation: Invocation, part: str | None, status: str | None, tag: str | None) -> None:
    """List the documents; with PART those that have it in their path, title or tags.

    \b
    Examples:
      gatewright documents list
      gatewright documents list reports/ --status draft
    """
    params = DocumentListParams(status=status, tag=tag)
    found = invocation.ask(lambda client: client.call(DOCUMENTS_LIST, params))
    chosen = [info for info in found.documents if part is None or _matches(info, part)]

    def as_text(_: Invocation, shown: DocumentList) -> None:
        if shown.documents:
            _print_documents(invocation, shown.documents)
        else:
            narrowed = found.documents or status is not None or tag is not None
            invocation.streams.notify("no document matches" if narrowed else NO_DOCUMENTS)

    invocation.show(DocumentList(documents=chosen), as_text)


@documents.command("show")
@click.argument("document", type=DOCUMENT)
@click.option("--about", is_flag=True, help="What is known of it instead of its text.")
@click.option("--version", metavar="HASH", help="An earlier version, by the start of its hash.")
@common_options
@click.pass_obj
def show_document(invocation: Invocation, document: str, about: bool, version: str | None) -> None:
    """Print a document's text.

    \b
    Examples:
      gatewright documents show reports/night
      gatewright documents show reports/night --about
    """
    if version is not None:
        if about:
            raise click.UsageError("--about and --version exclude each other.")
        wanted = version

        async def work(client: EngineClient) -> VersionText:
            history = await client.call(DOCUMENTS_HISTORY, DocumentParams(path=document))
            found = find_version(history, wanted, "documents history")
            return await client.call(DOCUMENTS_VERSION, DocumentVersionParams(path=history.path, sha256=found.sha256))

        invocation.answer(work, _print_text)
        return
    invocation.answer(
        lambda client: client.call(DOCUMENTS_LOAD, DocumentParams(path=document)),
        _print_about if about else _print_text,
    )


@documents.command("new")
@click.argument("path")
@click.option("--title", help="For its front matter.")
@click.option("--from", "source", metavar="FILE", type=SourceFile("rb"), help="Its text; - is the standard input.")
@common_options
@click.pass_obj
def new_document(invocation: Invocation, path: str, title: str | None, source: BinaryIO | None) -> None:
    """Make a new document; an existing one is never touched. Without a suffix it ends in .md.

    \b
    Examples:
      gatewright documents new reports/night --title 'Night shift'
      gatewright documents new notes/minutes.txt --from - < minutes.txt
    """
    if source is not None and title is not None:
        raise click.UsageError("--title is for a new text; that of --from is taken as it is.")
    if source is not None:
        text = _decode(source.read(), source.name)
    else:
        text = "" if title is None else document_skeleton(title)
    invocation.answer(lambda client: _made(client, path, text), _print_made)


@documents.command("save")
@click.argument("document", type=DOCUMENT)
@click.option(
    "--from", "source", metavar="FILE", type=SourceFile("rb"), required=True, help="Its text; - is the standard input."
)
@click.option("--base", metavar="HASH", help="Refuse unless it still holds this version, by the start of its hash.")
@common_options
@click.pass_obj
def save_document(invocation: Invocation, document: str, source: BinaryIO, base: str | None) -> None:
    """Save a text over a document. What it replaces goes to the history.

    Exit code 5 when it was saved by another one meanwhile.

    \b
    Examples:
      gatewright documents save reports/night --from - < night.md
    """
    text = _decode(source.read(), source.name)

    async def work(client: EngineClient) -> DocumentInfo:
        history = await client.call(DOCUMENTS_HISTORY, DocumentParams(path=document))
        if history.sha256 is None:
            hint = f"Bring it back: gatewright documents restore {quoted(history.path)}"
            raise CommandError(f"{sanitise_line(history.path)} is deleted", hint=hint, code="no_document")
        if base is not None and not history.sha256.startswith(base.lower()):
            sentence = (
                f"{sanitise_line(history.path)} holds another version, {history.sha256[:12]}; nothing was written"
            )
            raise CommandError(sentence, exit_code=exit_codes.CONFLICT, code="conflict")
        request = SaveDocumentRequest(text=text, base_sha256=history.sha256)
        return await client.call(DOCUMENTS_SAVE, DocumentParams(path=history.path), request)

    invocation.answer(work, partial(_print_done, what="saved"))


@documents.command("search")
@click.argument("text", nargs=-1, required=True)
@click.option(
    "-n", "--limit", type=Count(1, 500), metavar="N", default=50, show_default=True, help="Documents at most."
)
@common_options
@click.pass_obj
def search_documents(invocation: Invocation, text: tuple[str, ...], limit: int) -> int:
    """Find the documents that have every word of TEXT in name, title, tags or text.

    Case does not matter, and of the last word the beginning is enough. Exit code 1 when there are none.

    \b
    Examples:
      gatewright documents search night shift
    """

    def as_text(_: Invocation, result: DocumentSearchResult) -> None:
        for found in result.documents:
            invocation.streams.out.line(_found_line(found))
        if not result.documents:
            invocation.streams.notify("no document has all of these words")
        if result.more:
            invocation.streams.notify(f"there are more than {limit}", "Give more words, or a higher --limit.")

    params = DocumentSearchParams(text=" ".join(text), limit=limit)
    result = invocation.answer(lambda client: client.call(DOCUMENTS_SEARCH, params), as_text)
    return exit_codes.OK if result.documents else exit_codes.FAILED


@documents.command("tags")
@click.option("--status", metavar="STATUS", help="Count documents with this status only.")
@common_options
@click.pass_obj
def count_tags(invocation: Invocation, status: str | None) -> None:
    """List the documents' tags, the most used one first.

    \b
    Examples:
      gatewright documents tags --status published
    """

    def as_text(_: Invocation, found: TagCounts) -> None:
        for tag in found.tags:
            invocation.streams.out.line(sanitise_line(f"{tag.count:>6}  {tag.name}"))
        if not found.tags:
            invocation.streams.notify("no document has tags")

    invocation.answer(lambda client: client.call(DOCUMENTS_TAGS, TagsParams(status=status)), as_text)


@documents.command("images")
@click.argument("document", type=DOCUMENT, required=False)
@common_options
@click.pass_obj
def list_images(invocation: Invocation, document: str | None) -> None:
    """List the images below the documents folder, newest first; with DOCUMENT those that belong to it.

    \b
    Examples:
      gatewright documents images
      gatewright documents images reports/night
    """

    async def work(client: EngineClient) -> ImageList:
        path = None
        if document is not None:
            path = (await client.call(DOCUMENTS_LOAD, DocumentParams(path=document))).info.path
        return await client.call(DOCUMENTS_IMAGES, ImageParams(document=path))

    invocation.answer(work, _print_images)


@documents.command("rename")
@click.argument("old", type=DOCUMENT)
@click.argument("new")
@common_options
@click.pass_obj
def rename_document(invocation: Invocation, old: str, new: str) -> None:
    """Give the document OLD the path NEW; folders are made. Its history goes with it.

    Links to it in other documents stay as they are written.

    \b
    Examples:
      gatewright documents rename notes/night reports/night
    """
    request = RenameRequest(new_path=new)
    invocation.answer(
        lambda client: client.call(DOCUMENTS_RENAME, DocumentParams(path=old), request),
        partial(_print_done, what="it is now"),
    )


@documents.command("delete")
@click.argument("document", type=DOCUMENT)
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def delete_document(invocation: Invocation, document: str, yes: bool) -> None:
    """Delete DOCUMENT. Its history keeps it: documents restore brings it back.

    Without a terminal it takes --yes.

    \b
    Examples:
      gatewright documents delete notes/night --yes
    """
    found = invocation.ask(lambda client: client.call(DOCUMENTS_HISTORY, DocumentParams(path=document)))
    if found.sha256 is None:
        hint = f"It is deleted already: gatewright documents restore {quoted(found.path)} brings it back."
        sentence = f"there is no document {sanitise_line(found.path)}"
        raise CommandError(sentence, hint=hint, exit_code=exit_codes.USAGE, code="no_document")
    if not yes:
        question = f"Delete {sanitise_line(found.path)}? Its history keeps it."
        invocation.confirm(question, act="delete", done="deleted")
    request = DeleteRequest(base_sha256=found.sha256)
    invocation.answer(
        lambda client: client.call(DOCUMENTS_DELETE, DocumentParams(path=found.path), request),
        partial(_print_deleted, path=found.path),
    )


@documents.command("history")
@click.argument("document", type=DOCUMENT, required=False)
@click.option("--deleted", is_flag=True, help="Instead: the documents that were deleted and can be restored.")
@common_options
@click.pass_obj
def document_history(invocation: Invocation, document: str | None, deleted: bool) -> None:
    """List the versions of DOCUMENT that were saved over, deleted or renamed, newest first.

    Also of a document that was deleted. documents show --version prints one.

    \b
    Examples:
      gatewright documents history reports/night
      gatewright documents history --deleted
    """
    if deleted == (document is not None):
        raise click.UsageError("Name a document, or say --deleted.")
    if document is None:
        invocation.answer(lambda client: client.call(DOCUMENTS_DELETED), partial(print_deleted, group="documents"))
        return
    invocation.answer(
        lambda client: client.call(DOCUMENTS_HISTORY, DocumentParams(path=document)),
        partial(print_versions, group="documents"),
    )


@documents.command("restore")
@click.argument("document", type=DOCUMENT)
@click.option("--version", metavar="HASH", help="Which one, by the start of its hash; else the newest other one.")
@common_options
@click.pass_obj
def restore_document(invocation: Invocation, document: str, version: str | None) -> None:
    """Bring back an old version of DOCUMENT, or a deleted one.

    What is there now goes to the history.

    \b
    Examples:
      gatewright documents restore reports/night
      gatewright documents restore reports/night --version 3f2a91c0
    """

    async def work(client: EngineClient) -> DocumentInfo:
        history = await client.call(DOCUMENTS_HISTORY, DocumentParams(path=document))
        wanted = None if version is None else find_version(history, version, "documents history").sha256
        request = RestoreRequest(sha256=wanted, base_sha256=history.sha256)
        return await client.call(DOCUMENTS_RESTORE, DocumentParams(path=history.path), request)

    invocation.answer(work, partial(_print_done, what="brought back"))


async def _made(client: EngineClient, path: str, text: str) -> DocumentInfo:
    """Save a document that is not there yet: to save the text of one that is, unchanged, would be no conflict."""
    params = DocumentParams(path=path)
    try:
        there = (await client.call(DOCUMENTS_HISTORY, params)).sha256 is not None
    except EngineError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        there = False
    if there:
        sentence = f"{sanitise_line(path)} exists already; nothing was written."
        raise CommandError(sentence, exit_code=exit_codes.CONFLICT, code="conflict")
    return await client.call(DOCUMENTS_SAVE, params, SaveDocumentRequest(text=text))


def _print_text(invocation: Invocation, loaded: DocumentText | VersionText) -> None:
    out = invocation.streams.out
    out.write(sanitise_source(loaded.text) if out.is_terminal else loaded.text)


def _print_about(invocation: Invocation, loaded: DocumentText) -> None:
    info = loaded.info
    lines = {
        "path": info.path,
        "title": info.title,
        "date": info.date or "",
        "status": info.status,
        "tags": ", ".join(info.tags),
        "language": info.language,
        "images": ", ".join(info.images),
        "size": size(info.size),
        "changed": clock(info.modified),
        "sha256": info.sha256,
        "problem": info.problem or "",
    }
    for name, value in lines.items():
        if value:
            invocation.streams.out.line(sanitise_line(f"{name + ':':<10}{value}"))


def _print_made(invocation: Invocation, made: DocumentInfo) -> None:
    _print_done(invocation, made, what="made")


def _print_done(invocation: Invocation, info: DocumentInfo, *, what: str) -> None:
    invocation.streams.notify(f"{what} {sanitise_line(info.path)}")
    if info.problem:
        invocation.streams.notify(sanitise_line(info.problem))


def _print_deleted(invocation: Invocation, _: ScriptVersion, *, path: str) -> None:
    restore = f"gatewright documents restore {quoted(path)}"
    invocation.streams.notify(f"deleted {sanitise_line(path)}", f"Bring it back: {restore}")


def _print_documents(invocation: Invocation, chosen: list[DocumentInfo]) -> None:
    from tui.text.table import render, terminal_width

    rows = [
        [info.path, info.title, info.status, (info.date or "")[:10], size(info.size), clock(info.modified)]
        for info in chosen
    ]
    headers = ["document", "title", "status", "date", "size", "changed"]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(headers, rows, right="size", width=width))
    for info in chosen:
        if info.problem:
            invocation.streams.notify(sanitise_line(f"{info.path}: {info.problem}"))


def _print_images(invocation: Invocation, found: ImageList) -> None:
    from tui.text.table import render, terminal_width

    if not found.images:
        invocation.streams.notify("there are no images")
        return
    rows = [[image.path, image.title, size(image.size), clock(image.created)] for image in found.images]
    out = invocation.streams.out
    out.line(render(["image", "title", "size", "made"], rows, right="size", width=terminal_width(out.is_terminal)))


def _found_line(found: FoundDocument) -> str:
    """Write it as grep does, so that editors can jump there."""
    return sanitise_line(f"{found.path}:{found.line}: {found.text}" if found.line else f"{found.path}: {found.title}")


def _matches(info: DocumentInfo, part: str) -> bool:
    wanted = part.casefold()
    return any(wanted in text.casefold() for text in (info.path, info.title, *info.tags))


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text (byte {error.start})", exit_code=exit_codes.USAGE) from None
