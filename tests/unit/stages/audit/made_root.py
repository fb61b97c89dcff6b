"""An environment that is made of files: packages with METADATA and RECORD, unpacked one after the other."""

from __future__ import annotations

import hashlib
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.folder import Folder
from pipeline.model import Expectations
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.survey import survey
from tests.unit.stages.audit.audited_image import FACTS, NOW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.model import Certificate, ImageFinding, Severity

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LONG = "\n# " + "a module of more than a few bytes " * 20
"""Makes a module larger than one that only says that its folder is a namespace."""


@dataclass
class Root:
    """A root with an environment below this prefix."""

    folder: Path
    prefix: str = "opt/venv"

    @property
    def site(self) -> Path:
        """The folder of packages."""
        return self.folder / f"{self.prefix}/lib/{PYTHON}/site-packages"

    def install(
        self, name: str, version: str, files: Mapping[str, str] | None = None, requires: tuple[str, ...] = ()
    ) -> None:
        """Unpack a package over what is there, as pip and uv do: the last one wins."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        (info / "INSTALLER").write_text("uv\n")
        rows = []
        for path, text in (files or {}).items():
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            (self.site / path).write_text(text)
            digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
        (info / "RECORD").write_text("".join(rows))

    def remove(self, path: str) -> None:
        """Take a file away, and say so to no RECORD."""
        (self.site / path).unlink()

    def judged(self, wanted: Expectations | None = None) -> Certificate:
        """Its certificate, as a stranger's."""
        return judge(survey(Folder(self.folder)), wanted or Expectations(), (), NOW, FACTS)

    def findings(self, *rules: str) -> list[ImageFinding]:
        """What these families of rules say of it; all where none is named."""
        return [one for one in self.judged().findings if not rules or one.rule in rules]

    def severities(self, *rules: str) -> list[Severity]:
        """How severe what they say is."""
        return [one.severity for one in self.findings(*rules)]
