"""What a saboteur is, and how one is made from a good image: by a layer on top, in a second or two."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PYTHON = "/opt/venv/bin/python"
_EDIT = """
import pathlib, sys, sysconfig
path = pathlib.Path(sysconfig.get_path("purelib"), sys.argv[1])
text = path.read_text("utf-8")
assert text.count(sys.argv[2]) == 1, f"{path} has not once: {sys.argv[2]}"
path.write_text(text.replace(sys.argv[2], sys.argv[3]), "utf-8")
for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
    compiled.unlink()
"""


@dataclass(frozen=True)
class Caught:
    """Who refused it, a check or a family of a certificate's rules, and in which words; nobody: empty."""

    by: str
    words: str

    def fits(self, by: str, words: str) -> bool:
        """Whether it was refused by whom it should be, in words of this pattern."""
        return self.by == by and bool(re.search(words, self.words, re.DOTALL))


@dataclass(frozen=True)
class Saboteur:
    """One way to be broken.

    ``layer`` are the instructions of a Dockerfile over a good image. ``caught_by`` is the check, or the
    family of a certificate's rules, that must refuse it, and ``words`` a pattern of what it says. The seconds
    are how long its server may take to be healthy, and to answer.
    """

    name: str
    says: str
    caught_by: str
    words: str
    layer: str
    healthy_seconds: float = 240
    answer_seconds: float = 60

    def is_it(self, caught: Caught) -> bool:
        """Whether it was caught by whom it should be, with the right words."""
        return caught.fits(self.caught_by, self.words)


def edit(path: str, old: str, new: str) -> str:
    """The instruction that replaces the one place in a file of the environment that has this text.

    The build fails where it is not there once: a saboteur that breaks nothing would prove nothing.
    """
    return f"RUN {json.dumps([PYTHON, '-c', _EDIT, path, old, new])}"


def instead_of_serving(script: str) -> str:
    """The instruction that puts a program in the place of the image's entrypoint."""
    return f"COPY --chmod=755 <<'PROGRAM' /usr/local/bin/serve\n{script.strip()}\nPROGRAM"


def before_serving(script: str) -> str:
    """The instructions that have Python code come first, which may change ``sys.argv``."""
    program = f"#!{PYTHON}\nimport os, sys\n{script.strip()}\nos.execv('/usr/local/bin/served', sys.argv)"
    return f"RUN mv /usr/local/bin/serve /usr/local/bin/served\n{instead_of_serving(program)}"


def make(layer: str, image: str, name: str, *, push: bool = False) -> str:
    """Build these instructions over an image, under this name, and return the digest of what was made.

    It goes into the engine's store, or is pushed to its registry. Raises AssertionError with the builder's
    words where it cannot be made.
    """
    recipe = f"FROM {image}\nUSER 0\n{layer}\nUSER 1000:0\n"
    output = f"type=image,name={name},oci-mediatypes=true,push={str(push).lower()}"
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "metadata.json"
        command = ["docker", "buildx", "build", "--provenance=false", "--output", output]
        command += ["--metadata-file", str(told), "-"]
        done = subprocess.run(command, input=recipe, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{recipe}"
        return str(json.loads(told.read_text())["containerimage.digest"])
