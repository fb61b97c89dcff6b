"""Probe: what a server on this machine's loopback answers to one request.

Argument: JSON with ``port``, ``method``, ``path``, ``headers``, ``body`` (base64) and ``seconds``. Prints its
``status``, its ``type`` and its ``body`` (base64).
"""

from __future__ import annotations

import base64
import http.client
import json
import sys


def main() -> None:
    """Ask, and print the answer."""
    asked = json.loads(sys.argv[1])
    connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=asked["seconds"])
    headers = {name: value for name, value in asked["headers"].items() if name.lower() != "host"}
    connection.request(asked["method"], asked["path"], base64.b64decode(asked["body"]), headers)
    response = connection.getresponse()
    body = base64.b64encode(response.read()).decode()
    answer = {"status": response.status, "type": response.getheader("content-type", ""), "body": body}
    sys.stdout.write(f"\nprobe-result: {json.dumps(answer)}\n")


main()
