"""The words of a command line, against the commands and their options; and what ``--help`` prints."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, RawDescriptionHelpFormatter
from difflib import get_close_matches
from importlib import metadata
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.cli import exit_codes
from pipeline.cli.commands import COMMANDS, GROUPS
from pipeline.cli.output import program
from pipeline.model import PROJECT
from pipeline.model.errors import GOOD, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.cli.command import Command
    from pipeline.cli.options import Options

PURPOSE = "Build PyTorch x CUDA x vLLM images, prove each by real inference, and tag only what was proven."

_WIDTH = 100
"""Columns of a paragraph."""


def parse(words: Sequence[str], options: Options) -> tuple[Command, Options]:
    """The command that is meant, and its options, which are put into these.

    Raises UsageError, with what was probably meant, and SystemExit where help or the version was asked for.
    """
    _refuse_unknown_command(words)
    parser, of_command = parsers()
    _, unknown = parser.parse_known_args(words, options)
    if unknown:
        raise _unknown_word(unknown[0], options.command, of_command)
    return COMMANDS[options.command], options


def parsers() -> tuple[Parser, Mapping[str, Parser]]:
    """The parser of a whole command line, and that of each command."""
    whole = Parser(
        prog=program(),
        usage="%(prog)s COMMAND [options]",
        headline=PURPOSE,
        description="\n\n".join(_groups()),
        epilog=f"exit codes:\n{indent(exit_codes.TEXT, '  ')}\n\n{program()} COMMAND --help has examples.",
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version of this program")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND", help=SUPPRESS)
    return whole, {command.name: _parser_of(command, commands.add_parser) for command in COMMANDS.values()}


def _parser_of(command: Command, add_parser: Callable[..., Parser]) -> Parser:
    parser = add_parser(
        command.name,
        prog=f"{program()} {command.name}",
        headline=f"{command.name}: {command.summary}",
        description=fill(command.description, _WIDTH),
        epilog="\n".join(["examples:", *_examples(command)]),
    )
    command.add_options(parser)
    return parser


class Parser(ArgumentParser):
    """A parser that raises its errors and knows the names of its options."""

    def __init__(self, *, headline: str = "", **arguments: Any) -> None:
        self.headline = headline
        self.option_names: list[str] = []
        super().__init__(formatter_class=RawDescriptionHelpFormatter, **arguments)

    def format_help(self) -> str:
        """What it is for in the first line, then as of any parser."""
        return f"{self.headline}\n\n{super().format_help()}"

    def add_argument(self, *names: str, **arguments: Any) -> Action:
        """As of any parser."""
        self.option_names += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **arguments)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, where argparse would print and exit."""
        raise UsageError(message, hint=f"see {self.prog} --help")


class _Version(Action):
    """Prints the version, which is looked up only for that."""

    def __call__(self, parser: ArgumentParser, *_: object) -> None:
        print(f"{PROJECT} {metadata.version(PROJECT)}")
        parser.exit(GOOD)


# -- what help says ---------------------------------------------------------------------------------


def _groups() -> Iterator[str]:
    """The commands, in the order of the path."""
    width = max(map(len, COMMANDS))
    for title, commands in GROUPS.items():
        lines = [f"  {command.name:{width}}  {command.summary}" for command in commands]
        yield "\n".join([f"{title}:", *lines])


def _examples(command: Command) -> Iterator[str]:
    for words, effect in command.examples:
        yield f"  {program()} {words}".rstrip()
        yield f"      {effect}"


# -- what was probably meant ------------------------------------------------------------------------


def _refuse_unknown_command(words: Sequence[str]) -> None:
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None or name in COMMANDS:
        return
    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands: {' '.join(COMMANDS)}"
    raise UsageError(f"there is no command {name!r}", hint=hint)


def _unknown_word(word: str, command: str, of_command: Mapping[str, Parser]) -> UsageError:
    """What to say of a word that a command does not take."""
    name = word.partition("=")[0]
    if not name.startswith("--"):
        return UsageError(f"{command} takes no {word!r}", hint=f"see {program()} {command} --help")
    near = get_close_matches(name, of_command[command].option_names, n=1)
    others = [other for other, parser in of_command.items() if name in parser.option_names]
    if others:
        hint = f"it is an option of {', '.join(others)}"
    else:
        hint = f"did you mean {near[0]}?" if near else f"see {program()} {command} --help"
    return UsageError(f"{command} has no option {name}", hint=hint)
