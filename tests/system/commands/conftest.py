"""Users with a base image that waits or fails, the wheels of their cell, and an index that offers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest

from pipeline import matrix
from pipeline.adapters import wheel_cache
from pipeline.stages import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Server
from tests.system.commands.package_index import Index, serving
from tests.system.commands.tiny_images import ENDS, WAITS
from tests.system.commands.user import BODY, ROOT, TORCH, User, a_user, uv_wheel


@pytest.fixture
def user(server: Server, tmp_path: Path) -> Iterator[User]:
    """A user whose base image has a shell that never ends."""
    with a_user(server.host, tmp_path, WAITS) as user:
        yield user


@pytest.fixture
def user_of_broken_base(server: Server, tmp_path: Path) -> Iterator[User]:
    """A user whose base image has a shell that fails."""
    with a_user(server.host, tmp_path, ENDS) as user:
        yield user


@pytest.fixture(scope="session")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every wheel that a build of this cell takes."""
    folder = tmp_path_factory.mktemp("links")
    (folder / TORCH.filename).write_bytes(BODY)
    tool = uv_wheel()
    spec = matrix.load(ROOT / "matrix.yaml", None).specs[0]
    fetch.fetch(spec, [tool], folder / "cache", (), lambda _: _Quiet())
    wheel_cache.path_of(tool, folder / "cache").rename(folder / tool.filename)
    return folder


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[Index]:
    """An index that offers the wheels of the cell."""
    with serving((TORCH, uv_wheel())) as running:
        yield running
