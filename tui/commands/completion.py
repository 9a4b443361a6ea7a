"""``completion``: the script that teaches a shell, and the answers that it asks us for at every Tab.

The shell hands us its command line up to the cursor in ``COMP_LINE`` and calls us with ``_GATEWRIGHT_COMPLETE``, as
click has it. An answer is a line for each candidate: kind, value and what it is, with tabs between. No error of ours
is ever shown: it would stand in the middle of what somebody is typing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from tui.commands.invocation import Invocation, common_options
from tui.commands.streams import Writer

BASH = r"""%(complete_func)s() {
    local program="${1/#\~\//$HOME/}" kind value about
    COMPREPLY=()
    while IFS=$'\t' read -r kind value about; do
        case "$kind" in
            file) compopt -o default ;;
            dir) compopt -o plusdirs ;;
            open) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain)
                [[ "$2" == [\'\"]* ]] || printf -v value %%q "$value"
                COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" %(complete_var)s=bash_complete "$program" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

ZSH = r"""#compdef %(prog_name)s
%(complete_func)s() {
    local program="${~words[1]}" kind value about
    local -a plain shown open
    local file= dir=
    while IFS=$'\t' read -r kind value about; do
        case "$kind" in
            file) file=yes ;;
            dir) dir=yes ;;
            open) open+=("$value") ;;
            plain) plain+=("$value"); shown+=("$value${about:+  $about}") ;;
        esac
    done < <(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" %(complete_var)s=zsh_complete "$program" 2>/dev/null)
    (( $#plain )) && compadd -l -d shown -a plain
    (( $#open )) && compadd -S '' -a open
    [[ -n "$file$dir" ]] && compset -P '*='
    [[ -n "$file" ]] && _files
    [[ -n "$dir" ]] && _files -/
}
if [[ "${zsh_eval_context[-1]}" == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

FISH = r"""function %(complete_func)s
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l typed (commandline -ct)
    set -l line (commandline -cp)
    for row in (env COMP_LINE="$line" %(complete_var)s=fish_complete $program 2>/dev/null)
        set -l parts (string split \t -- $row)
        switch $parts[1]
            case file
                set -l lead (string match -r '^[^=]*=' -- $typed)
                for path in (__fish_complete_path (string replace -r '^[^=]*=' '' -- $typed))
                    echo "$lead$path"
                end
            case dir
                __fish_complete_directories $typed
            case '*'
                printf '%%s\t%%s\n' $parts[2] "$parts[3]"
        end
    end
end
complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class _Shell(ShellComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and what there is of that one."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        while words and words[0].partition("=")[0].isidentifier() and "=" in words[0]:
            del words[0]  # variables that are set for the command
        incomplete = "" if line[-1:].isspace() or len(words) < 2 else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\t{item.value}\t{item.help or ''}"

    def complete(self) -> str:
        words, incomplete = self.get_completion_args()
        option, equals, _ = incomplete.partition("=")
        lead = option + equals if equals and option.startswith("--") else ""  # click completes what stands behind it
        answers = []
        for item in self.get_completions(words, incomplete):
            item.value = self.shown(lead + item.value, incomplete)
            answers.append(self.format_completion(item))
        return "".join(f"{line}\n" for line in answers)

    def shown(self, value: str, incomplete: str) -> str:  # noqa: ARG002 - for the shell that wants a part of the word
        return value


class _Bash(_Shell):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = BASH

    def shown(self, value: str, incomplete: str) -> str:
        """What replaces bash's own word: for it an equals sign begins a new one."""
        return value[max(0, len(incomplete) - len(os.environ.get("COMP_WORD", incomplete))) :]


class _Zsh(_Shell):
    name: ClassVar[str] = "zsh"
    source_template: ClassVar[str] = ZSH


class _Fish(_Shell):
    name: ClassVar[str] = "fish"
    source_template: ClassVar[str] = FISH


SHELLS: Mapping[str, type[_Shell]] = MappingProxyType({"bash": _Bash, "zsh": _Zsh, "fish": _Fish})

VARIABLE = "_GATEWRIGHT_COMPLETE"


def answer(root: click.Command, asked: str) -> str:
    """Return the candidates for a shell that asks; nothing if there are none, whatever the reason is.

    Args:
        root: All commands.
        asked: The shell's name with ``_complete`` behind it.
    """
    shell = SHELLS.get(asked.removesuffix("_complete"))
    if shell is None:
        return ""
    quiet = Invocation()
    quiet.streams.err = Writer(None)
    try:
        return shell(root, {"obj": quiet}, "gatewright", VARIABLE).complete()
    except Exception:  # noqa: BLE001 - a wrong command line, a broken project, an engine that hangs: no candidates
        return ""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@common_options
@click.pass_obj
def completion(invocation: Invocation, shell: str) -> None:
    """Print the script that lets a shell complete commands, scripts, parameters and runs.

    It looks at the files of the project that the command line means, and asks its engine if one runs; it never starts
    one.

    \b
    Examples:
      source <(gatewright completion bash)
      source <(gatewright completion zsh)
      gatewright completion fish > ~/.config/fish/completions/gatewright.fish
    """
    root = click.get_current_context().find_root().command
    source = SHELLS[shell](root, {}, "gatewright", VARIABLE).source()
    invocation.streams.out.write(source)
