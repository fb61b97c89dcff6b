"""What the matrix says of the environment stands in the image as it is written: BuildKit reads the recipe."""

from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.recipe import IMAGES
from pipeline.stages import build
from tests.builders import spec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("engine")

SPEC = spec()
VALUES = (
    "plain",
    "",
    " blanks  around ",
    "it's \"quoted\" 'twice'",
    "$HOME ${HOME:-x} $$ $(id) `id`",
    'back\\slash \\n \\\\ \\" \\$ at the end \\',
    "# syntax=docker/dockerfile:1",
    "# escape=`",
    "<<EOF",
    'x" INJECTED="y',
    "a=b c=d",
    "*?[a]~{b,c}!;&|<>()",
    "ü 漢 🙂\u00a0",
)


def test_any_value_arrives_in_the_image_as_it_is_written(tmp_path: Path) -> None:
    """All in one image, each under a name of its own, among them those that would end a line or a quote."""
    env = {f"VALUE_{number}": value for number, value in enumerate(VALUES)}
    spec = replace(SPEC, env=tuple(env.items()), serve=("*", '--override={"a": 1}'))
    common = (IMAGES / "Dockerfile").read_text(encoding="utf-8")
    appended = build.recipe_of(spec, IMAGES).removeprefix(common)
    config = _built(f"FROM scratch\n{appended}", tmp_path)
    assert dict(entry.split("=", 1) for entry in config["Env"] if "PATH=" not in entry) == {
        **env,
        "VLLM_USE_AOT_COMPILE": "0",
        "SERVE_ARGS": "--shutdown-timeout 20 '*' '--override={\"a\": 1}'",
    }
    assert config["Entrypoint"] == ["/usr/local/bin/serve"]


def _built(recipe: str, folder: Path) -> dict[str, list[str]]:
    """The configuration of the image that this recipe makes; the image itself is removed."""
    (folder / "Dockerfile").write_text(recipe, encoding="utf-8")
    name = f"tagproof-test-{secrets.token_hex(6)}"
    command = ["docker", "buildx", "build", "--provenance=false", "--load", "--tag", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config}}", name]
    try:
        found: dict[str, list[str]] = json.loads(subprocess.check_output(inspect))
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)
    return found
