"""Files of a recipe without their comments and blank lines: two that do the same are the same text.

Left out is only what nobody acts on who reads the file. A parser directive of a Dockerfile stays, the first
line of a script, every line of a here-document, and a ``#`` within quotes or within a word.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=")
_HERE_DOCUMENT = re.compile(r"<<(-?)\s*[\"']?([A-Za-z_]\w*)")
_ENTRY_COMMENT = re.compile(r"(^|\s)#.*")
_BEFORE_A_WORD = " \t;&|()"
"""After one of these a ``#`` begins a comment of a shell script."""


def without_prose(name: str, text: str) -> str:
    """What a file of this name says: Python, a shell script, a Dockerfile, or a list with an entry a line."""
    lines = text.splitlines()
    if name.endswith(".py"):
        return "\n".join(_of_python(text))
    if name.endswith(".sh"):
        return "\n".join(_of_shell(lines))
    if name.endswith("Dockerfile"):
        return "\n".join(_of_dockerfile(lines))
    entries = (_ENTRY_COMMENT.sub("", line).strip() for line in lines)
    return "\n".join(entry for entry in entries if entry)


def _of_python(text: str) -> Iterator[str]:
    """The text itself, not a syntax tree of it: that differs between versions of Python."""
    tree, lines = ast.parse(text), text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not (token.start == (1, 0) and token.string.startswith("#!")):
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for row, column in _sole_texts(tree):
        lines[row - 1] = f"{' ' * column}pass"
    alone = _rows(node for node in ast.walk(tree) if _stands_alone(node)) - {
        row for row, _ in _sole_texts(tree)
    }
    texts = _rows(node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr))
    numbered = enumerate(lines, 1)
    return (line for row, line in numbered if row not in alone and (line.strip() or row in texts))


def _stands_alone(node: ast.AST) -> bool:
    """Whether this is a docstring, or another text that nothing is done with."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _sole_texts(tree: ast.AST) -> frozenset[tuple[int, int]]:
    """Where a text is all that a block consists of: without it something else must stand there."""
    blocks = (body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list))
    return frozenset(
        (body[0].lineno, body[0].col_offset) for body in blocks if len(body) == 1 and _stands_alone(body[0])
    )


def _rows(nodes: Iterable[ast.AST]) -> frozenset[int]:
    """The lines on which these stand."""
    spans = ((getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)) for node in nodes)
    return frozenset(row for first, last in spans for row in range(first, last + 1))


def _of_shell(lines: Iterable[str]) -> Iterator[str]:
    ends: list[tuple[str, str]] = []
    quote, is_continued = "", False
    for number, line in enumerate(lines):
        if ends:
            yield line
            ends = ends[1:] if _is_end(line, *ends[0]) else ends
            continue
        is_within = is_continued or bool(quote)
        code, quote = (
            (line, "") if number == 0 and line.startswith("#!") else _code(line, quote, is_continued)
        )
        ends, is_continued = _HERE_DOCUMENT.findall(code), code.endswith("\\")
        if is_within or code.strip():
            yield code


def _code(line: str, quote: str, is_continued: bool) -> tuple[str, str]:
    """A line of a script without its comment, and the quote that is open at its end."""
    before, at = "\\" if is_continued else " ", 0
    while at < len(line):
        letter = line[at]
        if letter == "\\" and quote != "'":
            at += 1
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif not quote and letter == "#" and before in _BEFORE_A_WORD:
            return _stripped(line[:at]), ""
        before, at = letter, at + 1
    return line, quote


def _stripped(code: str) -> str:
    """Without blanks at its end, but for one that a backslash makes part of a word."""
    bare = code.rstrip()
    is_escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return code[: len(bare) + 1] if is_escaped else bare


def _of_dockerfile(lines: Iterable[str]) -> Iterator[str]:
    """A line that begins with ``#`` is a comment, also between the lines of one instruction."""
    ends: list[tuple[str, str]] = []
    is_head = True
    for line in lines:
        if ends:
            yield line
            ends = ends[1:] if _is_end(line, *ends[0]) else ends
            continue
        is_comment = line.lstrip().startswith("#")
        is_head = is_head and bool(_DIRECTIVE.match(line))
        if is_head or (line.strip() and not is_comment):
            yield line
            ends = [] if is_comment else _HERE_DOCUMENT.findall(line)


def _is_end(line: str, dash: str, word: str) -> bool:
    """Whether this line ends a here-document."""
    return (line.lstrip("\t") if dash else line) == word
