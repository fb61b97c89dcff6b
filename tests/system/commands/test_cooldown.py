"""``lock: cooldown:``: what is young on its index waits, and what cannot wait is excepted by name and reason.

The index is one on loopback that gives times of upload, as JSON; the day is the test's.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import compat, matrix
from pipeline.model import names
from pipeline.model.errors import ResolveError
from pipeline.stages import lock
from tests.system.commands.test_build_indexes import TORCH, wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Lock, Spec

TODAY = date(2026, 11, 28)
OLD, YOUNG = "2026-06-01T10:00:00Z", "2026-11-26T10:00:00Z"
MATRIX = """\
schema: 1
include: [{torch: "2.13.0", cuda: cu130, python: "3.11", vllm: none}]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
"""
CPU = MATRIX.replace("cu130", "cpu")


@dataclass
class Dated:
    """An index: of each project its files, each with its bytes and when it was uploaded, if it says so."""

    url: str = ""
    files: dict[str, dict[str, tuple[bytes, str | None]]] = field(default_factory=dict)

    def offers(self, filename: str, uploaded: str | None, *requires: str) -> None:
        name, version, _ = filename.split("-", 2)
        self.files.setdefault(name, {})[filename] = (wheel(name, version, *requires), uploaded)

    def page(self, project: str) -> bytes:
        files = [
            {"filename": name, "url": f"{self.url}/files/{name.replace('+', '%2B')}", "size": len(content)}
            | {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
            | ({"upload-time": uploaded} if uploaded else {})
            for name, (content, uploaded) in self.files[project].items()
        ]
        page = {"meta": {"api-version": "1.1"}, "name": project, "files": files, "versions": []}
        return json.dumps(page).encode()

    def answer(self, path: str) -> tuple[bytes, str] | None:
        name = path.strip("/").rpartition("/")[2].replace("%2B", "+")
        if name in self.files:
            return self.page(name), "application/vnd.pypi.simple.v1+json"
        held = {name: file for files in self.files.values() for name, file in files.items()}
        return (held[name][0], "application/octet-stream") if name in held else None


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dated]:
    """The user's index while the test lasts, and PyTorch's own."""
    held = Dated()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            found = held.answer(self.path)
            self.send_response(200 if found else 404)
            content, kind = found or (b"", "text/plain")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(names, "VARIANT_INDEX", f"{held.url}/pytorch")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{held.url}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    held.offers(f"torch-2.13.0-{TORCH}.whl", OLD, "six", "filelock")
    held.offers("six-1.0-py3-none-any.whl", OLD)
    held.offers("six-2.0-py3-none-any.whl", YOUNG)
    held.offers("filelock-3.0-py3-none-any.whl", OLD)
    yield held
    server.shutdown()
    server.server_close()


def spec_of(folder: Path, more: str = "", text: str = MATRIX) -> Spec:
    (folder / "matrix.yaml").write_text(text + more)
    return matrix.load(folder / "matrix.yaml").specs[0]


def locked(spec: Spec, today: date = TODAY, *folders: Path) -> Lock:
    builds = compat.local_builds(spec.cell, spec.packages)
    return lock.make(spec, builds=builds, folders=folders, today=today)


@pytest.mark.usefixtures("index")
def test_a_wheel_of_two_days_waits_and_the_one_before_it_is_taken(tmp_path: Path) -> None:
    """Without a cool-down the newest is; and a week later with one."""
    assert locked(spec_of(tmp_path)).versions["six"] == "2.0"
    cooling = spec_of(tmp_path, "lock: {cooldown: 7}\n")
    made = locked(cooling)
    assert made.versions == {"torch": "2.13.0", "six": "1.0", "filelock": "3.0"}
    assert "# cool-down of 7 days: uploaded before 2026-11-21, UTC" in lock.text_of(cooling, made)
    assert locked(cooling, date(2026, 12, 4)).versions["six"] == "2.0"


@pytest.mark.parametrize("name", ["six", "s?x", "S*"])
def test_an_exception_takes_the_newest_and_the_lock_says_why(name: str, index: Dated, tmp_path: Path) -> None:
    """By a name or a glob; what it does not name waits still."""
    index.offers("filelock-4.0-py3-none-any.whl", YOUNG)
    rule = f"{{packages: ['{name}'], reason: a fix that cannot wait}}"
    spec = spec_of(tmp_path, f"lock: {{cooldown: 7, exceptions: [{rule}]}}\n")
    made = locked(spec)
    assert (made.versions["six"], made.versions["filelock"]) == ("2.0", "3.0")
    assert "# younger six==2.0 (2 days old): a fix that cannot wait" in lock.text_of(spec, made)


@pytest.mark.usefixtures("index")
def test_an_exception_that_nothing_needs_is_named(tmp_path: Path) -> None:
    rules = "[{packages: [filelock, six], reason: once}]"
    made = locked(spec_of(tmp_path, f"lock: {{cooldown: 7, exceptions: {rules}}}\n"))
    assert made.cooled
    assert made.cooled.unneeded == ("filelock",)


def test_where_no_version_is_old_enough_the_package_its_age_and_the_exception_are_named(
    index: Dated, tmp_path: Path
) -> None:
    """And no other package, though it is young too: an older one of it would do."""
    index.offers("filelock-4.0-py3-none-any.whl", YOUNG)
    del index.files["filelock"]["filelock-3.0-py3-none-any.whl"]
    with pytest.raises(ResolveError) as caught:
        locked(spec_of(tmp_path, "lock: {cooldown: 7}\n"))
    assert "leaves no version of filelock==4.0 (2 days old)" in caught.value.what
    assert "six" not in caught.value.what
    assert 'exceptions: [{packages: [filelock], reason: "…"}]' in caught.value.hint


def test_a_young_file_of_an_old_version_waits(index: Dated, tmp_path: Path) -> None:
    """Whoever has stolen an account may add a file to an old release, which installers prefer."""
    index.offers("filelock-3.0-py311-none-any.whl", YOUNG)
    made = locked(spec_of(tmp_path, "lock: {cooldown: 7}\n"))
    assert [pin.filename for pin in made.pins if pin.name == "filelock"] == ["filelock-3.0-py3-none-any.whl"]


def test_what_an_index_gives_no_time_of_is_not_taken_in_silence(index: Dated, tmp_path: Path) -> None:
    """It is refused, with the reason; an exception lets it in, and the lock says so."""
    index.files["filelock"].clear()
    index.offers("filelock-3.0-py3-none-any.whl", None)
    with pytest.raises(ResolveError, match=r"filelock==3\.0 \(its index gives no time of upload\)"):
        locked(spec_of(tmp_path, "lock: {cooldown: 7}\n"))
    rules = "[{packages: [filelock], reason: an index of ours}]"
    spec = spec_of(tmp_path, f"lock: {{cooldown: 7, exceptions: {rules}}}\n")
    assert "# undated filelock==3.0: an index of ours" in lock.text_of(spec, locked(spec))


def test_a_build_from_its_makers_index_or_a_folder_has_no_time_and_is_named(
    index: Dated, tmp_path: Path
) -> None:
    index.offers(f"torch-2.13.0+cpu-{TORCH}.whl", None, "six")
    spec = spec_of(tmp_path, "lock: {cooldown: 7}\n", CPU)
    undated = "# undated torch==2.13.0+cpu: its makers' own index, or a folder, which gives no time of upload"
    made = locked(spec)
    assert made.versions == {"torch": "2.13.0+cpu", "six": "1.0"}
    assert undated in lock.text_of(spec, made)
    folder = tmp_path / "wheels"
    folder.mkdir()
    name, (content, _) = index.files["torch"].popitem()
    (folder / name).write_bytes(content)
    assert undated in lock.text_of(spec, locked(spec, TODAY, folder))


def test_a_build_whose_makers_index_gives_its_time_waits_like_any_other(index: Dated, tmp_path: Path) -> None:
    index.offers(f"torch-2.13.0+cpu-{TORCH}.whl", YOUNG, "six")
    with pytest.raises(ResolveError, match=r"torch==2\.13\.0\+cpu \(2 days old\)"):
        locked(spec_of(tmp_path, "lock: {cooldown: 7}\n", CPU))


def test_what_does_not_exist_at_any_age_is_not_called_young(index: Dated, tmp_path: Path) -> None:
    del index.files["filelock"]
    with pytest.raises(ResolveError, match="filelock") as caught:
        locked(spec_of(tmp_path, "lock: {cooldown: 7}\n"))
    assert "cool-down" not in caught.value.what


def test_an_omitted_package_may_be_as_young_as_it_likes(index: Dated, tmp_path: Path) -> None:
    """It enters no lock."""
    index.files["filelock"].clear()
    index.offers("filelock-4.0-py3-none-any.whl", YOUNG)
    omit = "omit: [{packages: [filelock], reason: nothing imports it}]\n"
    made = locked(spec_of(tmp_path, f"lock: {{cooldown: 7}}\n{omit}"))
    assert made.versions == {"torch": "2.13.0", "six": "1.0"}
