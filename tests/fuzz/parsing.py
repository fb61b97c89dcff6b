"""Which functions of the pipeline parse something, told from its source; and which of them ran."""

from __future__ import annotations

import ast
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import FrameType

PIPELINE = Path(__file__).parents[2] / "pipeline"

PRIMITIVES = frozenset(
    """
    loads safe_load load_all safe_load_all compose scan
    model_validate model_validate_json model_validate_strings validate_json validate_python
    load_pem_private_key load_pem_public_key load_der_public_key b64decode urlsafe_b64decode
    ZipFile TarFile unpack unpack_from iter_unpack frombuffer fromfile
    parse_wheel_filename parse_sdist_filename Version Requirement SpecifierSet Marker
    read_text read_bytes fromisoformat strptime literal_eval
    parsebytes parsestr message_from_string message_from_bytes
    from_json_data from_html resolve_authconfig load_config int float Decimal
    """.split()  # noqa: SIM905 - words on lines are read best
)
"""Calls, by their last name, that turn bytes or text into values and raise what is no error of ours."""

OF_A_MODULE = frozenset({("csv", "reader"), ("json", "load"), ("tomllib", "load"), ("yaml", "load")})
"""The same where the name alone could be anything's."""


def parsing() -> frozenset[str]:
    """Every function of the pipeline that calls one of these, as ``module:qualified.name``."""
    return frozenset(
        f"{module_of(path)}:{name}"
        for path in PIPELINE.rglob("*.py")
        for name in _functions(ast.parse(path.read_text(encoding="utf-8")), "")
    )


def module_of(path: Path) -> str:
    """``certify.elf`` for its file; a folder's own file has the folder's name."""
    return ".".join(path.relative_to(PIPELINE).with_suffix("").parts).removesuffix(".__init__")


def _functions(node: ast.AST, name: str) -> Iterator[str]:
    """The functions below this node with a primitive in them; what runs at import reads only what is ours."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _functions(child, f"{name}.{child.name}".removeprefix("."))
        else:
            if name and isinstance(child, ast.Call) and _is_primitive(child.func):
                yield name
            yield from _functions(child, name)


def _is_primitive(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute):
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        return called.attr in PRIMITIVES or (owner, called.attr) in OF_A_MODULE
    return isinstance(called, ast.Name) and called.id in PRIMITIVES


@contextmanager
def watched() -> Generator[set[str]]:
    """The functions of the pipeline that run while the block lasts, in whatever thread, named as above."""
    ran: set[str] = set()
    modules: dict[str, str | None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            file = code.co_filename
            if file not in modules:
                path = Path(file)
                modules[file] = module_of(path) if path.is_relative_to(PIPELINE) else None
            if module := modules[file]:
                ran.add(f"{module}:{_plain(code.co_qualname)}")

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield ran
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def _plain(name: str) -> str:
    """``f.g`` for ``f.<locals>.g``, and ``f`` for a comprehension in it."""
    return ".".join(part for part in name.split(".") if not part.startswith("<"))
