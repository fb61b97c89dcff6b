"""Which of our files a part of the package works with: what judges is in the key of what it judged."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from pipeline import suite
from pipeline.formats import sources
from pipeline.model import Digest, Expectations
from pipeline.stages import audit

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OF_AN_IMAGE = Digest("sha256:" + "1" * 64)


def names(paths: tuple[Path, ...]) -> set[str]:
    """Paths as they stand in the package."""
    return {path.relative_to(sources.PACKAGE).as_posix() for path in paths}


def loaded_by(module: str) -> set[str]:
    """The files of ours that Python has loaded once it has imported this."""
    code = (
        f"import sys, {module}\nprint(*(m.__file__ for n, m in sys.modules.items() if n[:9] == 'pipeline.'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {path.removeprefix(f"{sources.PACKAGE}/") for path in done.stdout.split()}


def test_what_decides_which_code_and_which_driver_serve_a_gpu_judges_a_certificate() -> None:
    found = names(audit.judging())
    assert {"formats/gpu_arch.py", "formats/requirements.py", "compat/drivers.py", "compat/facts.py"} <= found
    assert {
        "stages/audit/rules/devices.py",
        "adapters/image_files/tar.py",
        "model/certificates.py",
    } <= found


def test_what_only_brings_bytes_and_what_plans_judge_none() -> None:
    found = names(audit.judging())
    assert not {
        one
        for one in found
        if one.startswith(
            ("adapters/registry", "adapters/engine", "runner", "stages/plan", "stages/gate", "matrix")
        )
    }


def test_everything_that_python_loads_to_judge_is_told_by_the_imports() -> None:
    """Less the first file of a room, which is loaded with any other of it, and what that one loads."""
    rooms = loaded_by("pipeline.compat")
    packages = {one for one in loaded_by("pipeline.stages.audit.audit") if one.endswith("__init__.py")}
    loaded = loaded_by("pipeline.stages.audit.audit") - rooms - packages
    assert loaded <= names(audit.judging())


def test_a_changed_judge_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    audit._rules.cache_clear()
    before = audit.inputs_of(OF_AN_IMAGE, Expectations(), ())
    path = sources.PACKAGE / "formats" / "gpu_arch.py"
    monkeypatch.setattr(audit, "_sha256", lambda one: "0" if one == path else "1")
    audit._rules.cache_clear()
    changed = audit.inputs_of(OF_AN_IMAGE, Expectations(), ())
    monkeypatch.setattr(audit, "_sha256", lambda _: "1")
    audit._rules.cache_clear()
    assert len({before, changed, audit.inputs_of(OF_AN_IMAGE, Expectations(), ())}) == 3
    monkeypatch.undo()
    audit._rules.cache_clear()


def test_the_suites_digest_names_all_that_the_suite_imports() -> None:
    listed = tuple(f"{name}" for name in suite._SOURCES)
    forgotten = {one for one in names(sources.behind(("suite",))) if not one.startswith(listed)}
    assert not forgotten
