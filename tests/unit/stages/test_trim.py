"""Files of packages that an image does without: found in the wheels, taken out of what was installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.adapters import wheel_cache
from pipeline.model import Lock, Pin, Spec, Trim
from pipeline.model.errors import UsageError, WheelError
from pipeline.stages import build
from tests import builders

ROOT = Path(__file__).parents[3]
MEMBERS = (
    "x/__init__.py",
    "x/lib/libx.so",
    "x/lib/libx.a",
    "x/tests/test_x.py",
    "x-1.0.data/purelib/x/lib/more.a",
    "x-1.0.data/data/share/x.a",
    "x-1.0.dist-info/x.a",
    "x-1.0.dist-info/RECORD",
)


def trimmed(cache: Path, *trims: Trim) -> dict[str, tuple[str, ...]]:
    """What these take out of the wheel of x."""
    pin = builders.pin("x")
    return dict(build.trimmed_files(spec(*trims), Lock(builders.CPU_CELL, (pin,)), cache))


def spec(*trims: Trim) -> Spec:
    return builders.spec(trim=trims)


def trim(*files: str, package: str = "x") -> Trim:
    return Trim((package,), files, "no image needs it")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with the wheel of x."""
    _cached(builders.pin("x"), tmp_path)
    return tmp_path


def _cached(pin: Pin, cache: Path) -> None:
    path = wheel_cache.path_of(pin, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        for member in MEMBERS:
            wheel.writestr(member, member)


def test_a_glob_finds_files_in_the_folder_of_the_packages_and_no_metadata(cache: Path) -> None:
    assert trimmed(cache, trim("*.a")) == {"x": ("x/lib/libx.a", "x/lib/more.a")}


def test_what_several_rules_leave_out_is_left_out_once(cache: Path) -> None:
    assert trimmed(cache, trim("x/tests/*"), trim("*/libx.a", "*/test_x.py")) == {
        "x": ("x/lib/libx.a", "x/tests/test_x.py")
    }


def test_a_cell_that_needs_all_files_has_none_left_out(cache: Path) -> None:
    assert trimmed(cache) == {}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (trim("*.a", "*.lib"), "*.lib"),
        (trim("*.a", package="y"), "*.a, y"),
        (Trim(("x", "y"), ("*.a",), "no image needs it"), "y"),
    ],
)
def test_a_rule_that_takes_nothing_away_is_an_error(cache: Path, rule: Trim, named: str) -> None:
    with pytest.raises(UsageError) as raised:
        trimmed(cache, rule)
    assert raised.value.what == (
        f"{builders.CPU_CELL.id}: `trim` names {named}, which takes nothing out of its wheels"
    )
    assert "`cells:`" in raised.value.hint


def test_a_wheel_that_cannot_be_read_is_named(cache: Path) -> None:
    wheel_cache.path_of(builders.pin("x"), cache).write_bytes(b"no zip file")
    with pytest.raises(WheelError, match=r"x-1\.0-py3-none-any\.whl: its table of contents cannot be read"):
        trimmed(cache, trim("*.a"))


def test_what_is_taken_out_is_in_no_list_of_installed_files_and_leaves_no_empty_folder(
    tmp_path: Path,
) -> None:
    record = tmp_path / "x-1.0.dist-info" / "RECORD"
    for path in ("x/__init__.py", "x/tests/a,b.py", "x/tests/deep/c.py", "y/z.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    record.parent.mkdir()
    kept = 'x/__init__.py,sha256=abc,3\n"y, z.py",,\n'
    record.write_text(f'{kept}"x/tests/a,b.py",sha256=abc,3\nx/tests/deep/c.py,,\n')
    program = [sys.executable, "-I", str(ROOT / "images" / "trim.py"), str(tmp_path)]
    listed = "x/tests/a,b.py\nx/tests/deep/c.py\ny/z.py\n"
    subprocess.run(program, input=listed, text=True, check=True)
    assert record.read_text() == kept
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        *("x", "x/__init__.py", "x-1.0.dist-info", "x-1.0.dist-info/RECORD")
    }


def test_a_file_that_should_go_and_is_not_there_ends_the_build(tmp_path: Path) -> None:
    program = [sys.executable, "-I", str(ROOT / "images" / "trim.py"), str(tmp_path)]
    done = subprocess.run(program, input="x/a\n", text=True, check=False, capture_output=True)
    assert done.returncode == 1
    assert "x/a" in done.stderr
