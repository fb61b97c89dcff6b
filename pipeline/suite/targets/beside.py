"""Requests to a server that no network leads to: they are sent from beside it, by its own Python."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Annotated

import httpx2
from pydantic import Field

from pipeline.model import Frozen
from pipeline.model.errors import MachineError
from pipeline.suite import probes

if TYPE_CHECKING:
    from pipeline.suite.targets.target import Completed, Server

_START_SECONDS = 30.0
"""For the Python beside it to start, on a machine that is busy."""


class Beside(httpx2.BaseTransport):
    """Sends each request from a process of its own beside the server; answers come whole, never in parts."""

    def __init__(self, server: Server, port: int) -> None:
        self._server, self._port = server, port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The server's answer. Raises httpx2.TransportError where it gives none."""
        seconds = request.extensions.get("timeout", {}).get("read") or _START_SECONDS
        asked = {
            "port": self._port,
            "method": request.method,
            "path": request.url.raw_path.decode(),
            "headers": dict(request.headers),
            "body": base64.b64encode(request.read()).decode(),
            "seconds": seconds,
        }
        done = self._run(json.dumps(asked), seconds + _START_SECONDS)
        told = probes.result(done.stdout)
        if told is None:
            why = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.exit_code}"]
            raise httpx2.ConnectError(why[0])
        return _response(told)

    def _run(self, asked: str, seconds: float) -> Completed:
        """What the process says that sends it. Nothing runs beside a server that has ended."""
        try:
            return self._server.python(probes.source("ask"), asked, seconds=seconds)
        except MachineError as error:
            if ended := self._server.ended():
                raise httpx2.ConnectError(f"the server had {ended}") from error
            raise


class _Answer(Frozen):
    """What the probe tells of an answer; the environment under test may have made it up."""

    status: Annotated[int, Field(ge=100, le=599)]
    type: Annotated[str, Field(pattern=r"^[ -~]{0,200}$")]
    body: str


def _response(told: object) -> httpx2.Response:
    try:
        answer = _Answer.model_validate(told)
        body = base64.b64decode(answer.body, validate=True)
    except ValueError as error:  # that of pydantic is one
        raise httpx2.RemoteProtocolError("what the probe tells of the answer is malformed") from error
    return httpx2.Response(answer.status, headers={"content-type": answer.type}, content=body)
