"""``doctor`` with a real engine: the page of this machine, and the answer of containers that have none."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.engine import Engine
from pipeline.cli import main as command_line
from pipeline.model import Repository
from pipeline.model.errors import MACHINE
from pipeline.model.examinations import Standing
from pipeline.runner import doctor
from pipeline.runner.doctor import storage
from tests.system.commands.tiny_images import ENDS, program, push

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import ImageRef
    from tests.system.conftest import Server

pytestmark = pytest.mark.needs("engine", "registry")


def inside(ref: ImageRef) -> int:
    """The exit code of the question inside this image, which the engine then forgets."""
    try:
        return command_line.main(["doctor", "--container", str(ref)])
    finally:
        with Engine.connect() as engine:
            engine.release(ref)


def test_the_engine_of_this_machine_is_well_and_left_as_it_was(server: Server) -> None:
    with Engine.connect() as engine:
        before = engine.facts()
        page = doctor.examine(None, (Repository.parse(f"{server.host}/team/vllm"),))
        assert engine.facts() == before
    of = {aspect.name: aspect for aspect in page.aspects}
    assert of["engine"].standing is of["buildkit"].standing is of["registry"].standing is Standing.GOOD
    assert before.version in of["engine"].text


def test_an_image_whose_python_says_nothing_has_no_answer(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ref = push(Repository.parse(f"{server.host}/mute"), {"python3": program(ENDS)}, {})
    assert inside(ref) == MACHINE
    assert "whoever asked PyTorch there has no answer (exit code 3)" in capsys.readouterr().err


def test_an_image_without_python_is_told_so(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    ref = push(Repository.parse(f"{server.host}/none"), {"server": program(ENDS)}, {})
    assert inside(ref) == MACHINE
    err = capsys.readouterr().err
    assert f"there is no Python in {ref}" in err
    assert f"`python -m pipeline which {ref}` says what is inside" in err


def test_the_same_images_are_named_by_which(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = Repository.parse(f"{server.host}/cu130")
    push(repository, {"server": program(ENDS)}, {}, "cu130")
    words = ["which", f"{repository}:cu130", "--json", "--matrix", str(tmp_path / "none")]
    command_line.main(words)
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["torch"], image["platform"]) == ("", "linux/amd64")
    assert [one["claim"]["value"] for one in image["contradictions"]] == ["13.0"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "does not do its work: GET /v2/ answered 500"),
        (503, "does not do its work: GET /v2/ answered 503"),
        (404, "is no registry: GET /v2/ answered 404"),
    ],
)
def test_what_answers_wrongly_on_that_port_is_broken(status: int, words: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        there = storage.registry(Repository(f"127.0.0.1:{server.server_port}", "a"))
        server.shutdown()
    assert there.standing is Standing.BROKEN
    assert words in there.text
