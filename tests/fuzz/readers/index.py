"""An index of packages, and the wheels on it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.package_index import Index, IndexFile
from pipeline.adapters.package_index.client import Answer
from pipeline.adapters.package_index.settings import said
from pipeline.adapters.web.retries import RetryPolicy
from pipeline.formats.elf import version_needs
from pipeline.model import Reason
from pipeline.model.errors import TagproofError
from pipeline.stages.refresh import check, companions, releases, sdist
from pipeline.stages.refresh import readers as refresh_readers
from tests.crafted import Item, pack, tar
from tests.fuzz.answering import hosts_that_answer, http
from tests.fuzz.reader import Reader, standing_in, zipped
from tests.fuzz.readers.facts import SHA
from tests.fuzz.readers.images import COMPILED, OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TORCH = "torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl"
VLLM = "vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"
NVCC = "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.whl"


class Shelf(Index):
    """An index of one page and one file, whose bytes are at hand."""

    _endpoint = "https://x.example/simple"

    def __init__(self, page: bytes = b"", kind: str = "json", file: bytes = b"") -> None:
        self._page, self._kind, self._file = page, kind, file

    def files(self, project: str) -> tuple[IndexFile, ...] | Reason:
        """What the page lists."""
        answer = Answer("https://x.example/simple/", {"content-type": f"text/{self._kind}"}, self._page)
        with standing_in(
            pipeline__adapters__package_index__Index___client=SimpleNamespace(get=lambda *_, **__: answer)
        ):
            return super().files(project)

    def part(self, file: IndexFile, start: int | None, stop: int) -> tuple[bytes, int]:  # noqa: ARG002 - the one
        """Bytes of the file."""
        begin = max(0, len(self._file) - stop) if start is None else start
        return self._file[begin:] if start is None else self._file[begin:stop], len(self._file)


def read_page(kind: str) -> Callable[[bytes, Path], object]:
    """Feeds a page, and what it lists becomes releases."""

    def feed(data: bytes, _: Path) -> object:
        found = Shelf(data, kind).files("torch")
        if isinstance(found, Reason):
            return found
        made = releases.offers(releases.Project("torch"), found, {})
        return releases.newest(found), [one.pythons_within(("3.10",)) for one in made]

    return feed


def on_index(name: str, project: str) -> Callable[[bytes, Path], object]:
    """Feeds the bytes of a wheel on an index."""
    file = IndexFile(name, "https://x.example/x", SHA, None, None, "", yanked=False)
    (offer,) = releases.offers(releases.Project(project), [file], {})

    def feed(data: bytes, _: Path) -> object:
        row = next(refresh_readers.read_release(Shelf(file=data), [offer]))[1].row(offer, (), None)
        return list(check.sound([row]))

    return feed


def member(name: str, project: str, path: str) -> Callable[[bytes, Path], object]:
    """Feeds the bytes of one member of a good wheel."""
    feed_wheel = on_index(name, project)

    def feed(data: bytes, place: Path) -> object:
        return feed_wheel(a_wheel(name, **{path: data}), place)

    return feed


def a_wheel(name: str, **members: bytes) -> bytes:
    """A wheel of either project that says all that is asked of it; ``/`` in a member's name is ``__``."""
    project, version, *_ = name.split("-")
    there = {
        "torch__version.py": b"cuda: Optional[str] = '13.0'\n",
        "torch__include__ATen__cuda__CUDAConfig.h": b'NVCC_FLAGS_EXTRA "code=sm_90"',
        "torch__lib__libshm.so": OBJECT,
        "vllm__envs.py": b'VLLM_MAIN_CUDA_VERSION: str = "13.0"\n',
        "vllm___C.abi3.so": OBJECT,
        "nvidia__include__crt__host_config.h": b"#if __GNUC__ > 14\n",
        f"{project}-{version}.dist-info__METADATA": (
            f"Name: {project}\nVersion: {version}\nRequires-Dist: torch==2.13.0\n"
            "Requires-Dist: cuda-toolkit==13.0.2; platform_system == 'Linux'\n"
        ).encode(),
    }
    return zipped(**(there | members))


NOISE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(10_000))
"""What nobody packs: with it a member is large."""

PIPELINE = b"""\
env: {ARCHS: "8.0 9.0"}
steps:
  - group: x
    steps:
      - agents: {queue: arm64}
        commands:
          - docker build --build-arg CUDA_VERSION=13.0 torch_cuda_arch_list="${ARCHS}" --target build .
"""


def read_sdist(data: bytes, _: Path) -> object:
    """A packed source archive, of which all is taken."""
    return list(sdist.members(iter([data])))


def read_pipeline(data: bytes, _: Path) -> object:
    build_ = sdist.read(iter([(".buildkite/release-pipeline.yaml", data), ("CMakeLists.txt", data)]))
    return build_.archs("aarch64", "13.0")


PAGES = {
    "json": json.dumps(
        {
            "name": "torch",
            "meta": {"api-version": "1.1"},
            "files": [
                {
                    "filename": TORCH,
                    "url": "https://x.example/x",
                    "hashes": {"sha256": SHA},
                    "requires-python": ">=3.10",
                    "size": 9,
                    "upload-time": "2026-07-08T10:00:00Z",
                    "yanked": False,
                }
            ],
        }
    ).encode(),
    "html": f'<a href="x#sha256={SHA}" data-requires-python="&gt;=3.10">{TORCH}</a>'.encode(),
}


def ask_index(data: bytes, _: Path) -> object:
    """An index that says this to every request, byte for byte."""
    file = IndexFile(TORCH, "http://127.0.0.1/x", SHA, None, None, "", yanked=False)
    with (
        hosts_that_answer(data),
        standing_in(pipeline__adapters__web__retries__DOWNLOADS=RetryPolicy(seconds=60, attempts=1)),
        pytest.MonkeyPatch.context() as patch,
        Index() as index,
    ):
        patch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1/simple")
        index.__dict__["_pip"] = {}
        with suppress(TagproofError):
            index.part(file, 0, 9)
        return index.files("torch")


COMPANION = "transformers-5.3.0-py3-none-any.whl"


def read_companion(data: bytes, _: Path) -> object:
    """Feeds the METADATA of a companion's wheel, which its project's page lists alone."""
    wheel = zipped(**{"transformers-5.3.0.dist-info__METADATA": data})
    file = IndexFile(COMPANION, "https://x.example/x", SHA, None, None, "", yanked=False)
    shelf = Shelf(file=wheel)
    with standing_in(
        pipeline__stages__refresh__companions__PROJECTS=(releases.Project("transformers"),),
        tests__fuzz__readers__index__Shelf__files=lambda *_: (file,),
    ):
        return companions.refresh(shelf, (), lambda _: None)


READERS = (
    Reader("METADATA of a companion", read_companion,
           (b"Name: transformers\nVersion: 5.3.0\nRequires-Python: >=3.10\nRequires-Dist: tokenizers<1\n",)),
    Reader("page of an index", read_page("json"), (PAGES["json"],)),
    Reader("page of an index in HTML", read_page("html"), (PAGES["html"],)),
    Reader("wheel of torch", on_index(TORCH, "torch"), (a_wheel(TORCH),)),
    Reader("wheel of vLLM", on_index(VLLM, "vllm"), (a_wheel(VLLM),)),
    Reader("wheel of nvcc", on_index(NVCC, "nvidia-cuda-crt"), (a_wheel(NVCC),)),
    Reader("METADATA of a wheel", member(TORCH, "torch", "torch-2.13.0.dist-info__METADATA"),
           (b"Name: torch\nVersion: 2.13.0\nRequires-Dist: cuda-toolkit==13.0.2; extra == 'a'\n",)),
    Reader("source in a wheel", member(TORCH, "torch", "torch__version.py"), (b"cuda: str = '13.0'\n",)),
    Reader("object in a wheel", member(VLLM, "vllm", "vllm___C.abi3.so"), (OBJECT,)),
    Reader("head of an object",
           lambda data, _: version_needs.of_head(iter([data]), len(data)), (OBJECT, COMPILED)),
    Reader("large object in a wheel",
           lambda data, place: member(VLLM, "vllm", "vllm___C.abi3.so")(data + NOISE, place), (COMPILED,)),
    Reader("source archive", read_sdist, (pack(tar(Item("vllm/CMakeLists.txt", content=b"x")), "gzip"),),
           refuses=(ValueError,)),
    Reader("release pipeline", read_pipeline, (PIPELINE,), refuses=(ValueError,)),
    Reader("pip's settings", lambda data, _: said(data.decode("utf-8", "replace")),
           (b"global.index-url='https://x.example'\n",)),
    Reader("wire of an index", ask_index, (http(200, PAGES["json"], Content_Type="text/json"),),
           (http(206, b"123456789", Content_Range="bytes 0-8/9"), http(302, b"", Location="/x"))),
)  # fmt: skip
