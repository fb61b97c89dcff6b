"""Two packages that claim one file: whose it is now, whether that fits, and what would mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model import Severity
from pipeline.stages.audit.inventory import Claim
from tests.unit.stages.audit.audited_image import SITE, Image, library, listing
from tests.unit.stages.audit.made_root import LONG, Root

if TYPE_CHECKING:
    from pathlib import Path

ERROR, WARNING, NOTE = Severity


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def parts(folder: str, build: str, number: int = 4) -> dict[str, str]:
    """Modules that every build of a package has, each with contents of its own, of equal sizes."""
    return {f"{folder}/part{n}.py": f"build = {build!r}{LONG}" for n in range(number)}


BASE, CU13 = "nvidia-cutlass-dsl-libs-base", "nvidia-cutlass-dsl-libs-cu13"


def test_the_one_that_was_unpacked_last_is_named_in_a_note(root: Root) -> None:
    """https://github.com/NVIDIA/cutlass/issues/3170: cu13 last is what a recent GPU needs."""
    root.install(BASE, "4.5.2", parts("cutlass", "base"))
    root.install(CU13, "4.5.2", parts("cutlass", "cu13"))
    (finding,) = root.findings("contents")
    assert finding.severity is NOTE
    assert finding.text == (
        f"4 files are claimed by {BASE} 4.5.2 and {CU13} 4.5.2 with different contents: "
        f"all are those of {CU13} 4.5.2"
    )
    assert "install it again" not in finding.hint


def test_a_mixture_of_two_builds_is_an_error_although_all_sizes_are_right(root: Root) -> None:
    """https://github.com/NVIDIA/cutlass/issues/3227: an installer that unpacks in parallel."""
    root.install(BASE, "4.5.2", parts("cutlass", "base"))
    root.install(CU13, "4.5.2", parts("cutlass", "cu13"))
    for path, text in list(parts("cutlass", "base").items())[:3]:
        (root.site / path).write_text(text)
    (finding,) = root.findings("contents")
    assert finding.severity is ERROR
    assert f"a mixture, 3 of {BASE}, 1 of {CU13}" in finding.text
    assert "since nvidia-cutlass-dsl 4.6.0 its parts share no file" in finding.hint


def test_packages_that_bring_the_same_content_do_not_compete(root: Root) -> None:
    """nvidia-cutlass-dsl 4.6.0: the healthy twin."""
    for name in (BASE, CU13):
        root.install(name, "4.6.0", parts("cutlass", "one"))
    assert root.findings("contents") == []


def test_one_package_alone_competes_with_nobody(root: Root) -> None:
    root.install(BASE, "4.5.2", parts("cutlass", "base"))
    assert root.findings("contents") == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("opencv-python", "opencv-python-headless"),
        ("opencv-contrib-python", "opencv-python"),
        ("opencv-python-headless", "opencv-contrib-python-headless"),
        ("triton", "pytorch-triton"),
        ("torch", "torch-cpu"),
        ("tensorflow", "tensorflow-cpu"),
    ],
)
def test_any_two_packages_with_one_folder_are_told_apart(first: str, second: str, root: Root) -> None:
    """https://github.com/vllm-project/vllm/issues/8650."""
    root.install(first, "1.0", parts("shared", "first"))
    root.install(second, "1.0", parts("shared", "again"))
    (finding,) = root.findings("contents")
    assert (finding.severity, second in finding.text.rpartition(":")[2]) == (NOTE, True)


def test_where_the_package_that_others_ask_for_was_overwritten_it_is_a_warning(root: Root) -> None:
    root.install("a", "1.0", requires=("opencv-python-headless",))
    root.install("opencv-python-headless", "5.0", parts("cv2", "headless"))
    root.install("opencv-python", "5.0", parts("cv2", "not-less"))
    (finding,) = root.findings("contents")
    assert finding.severity is WARNING
    assert finding.hint.startswith(
        "uninstall opencv-python, then install opencv-python-headless==5.0 again, last and alone"
    )


def test_once_a_twin_was_uninstalled_the_other_one_lacks_the_files_that_both_had(root: Root) -> None:
    """Pip removes what the RECORD lists: what is left of the other is its metadata and a few files."""
    root.install("opencv-python-headless", "5.0", {"cv2/__init__.py": LONG, "cv2/cv2.abi3.so": "x"})
    root.remove("cv2/__init__.py")
    (finding,) = root.findings("contents")
    assert finding.severity is ERROR
    assert "where its import begins" in finding.text


@pytest.mark.parametrize(
    "path",
    [
        "google/__init__.py",
        "tests/__init__.py",
        "build_backend.py",
        "examples/run.py",
        "LICENSE",
        "docs/conf.py",
    ],
)
def test_what_no_program_imports_may_be_anyones(path: str, root: Root) -> None:
    """Namespaces, and what wheels bring at the top of site-packages by mistake."""
    root.install("a", "1.0", {path: "x = 1"})
    root.install("b", "1.0", {path: "x = 2"})
    assert root.findings("contents") == []


def test_a_package_that_is_there_in_two_versions_is_reported_as_that_alone(root: Root) -> None:
    root.install("a", "1.0", parts("a", "old"))
    root.install("a", "2.0", parts("a", "new"))
    assert not [one for one in root.findings("contents") if "claimed by" in one.text]


def test_a_folder_that_hides_another_packages_module_is_a_warning(root: Root) -> None:
    """https://github.com/vllm-project/vllm/issues/12977: pynvml 11 and NVIDIA's own."""
    root.install("nvidia-ml-py", "13.580.82", {"pynvml.py": LONG})
    root.install("pynvml", "11.5.3", {"pynvml/__init__.py": LONG, "pynvml/nvml.py": LONG})
    (finding,) = root.findings("contents")
    assert finding.severity is WARNING
    assert (
        finding.text == "pynvml.py of nvidia-ml-py 13.580.82 is hidden by the folder pynvml of pynvml 11.5.3"
    )
    assert "nvidia-ml-py" in finding.hint


# -- NVIDIA's twins, in an image --------------------------------------------------------------------

NCCL = f"{SITE}/nvidia/nccl/lib/libnccl.so.2"
CU12_INFO, CU13_INFO = (f"{SITE}/nvidia_nccl_{name}.dist-info" for name in ("cu12-2.29.3", "cu13-2.29.7"))


def with_two_nccls(*, winner: str, defines: frozenset[str]) -> Image:
    """The healthy image, with both NCCLs: PyTorch asks for cu13's, and for ``ncclCommResume``."""
    image = Image()
    torch_cuda = f"{SITE}/torch/lib/libtorch_cuda.so"
    torch = image.objects[torch_cuda]
    image.change(
        torch_cuda,
        needs=(*torch.needs, "libnccl.so.2"),
        rpath=(*torch.rpath, "$ORIGIN/../../nvidia/nccl/lib"),
        undefined=torch.undefined | {"ncclCommResume"},
    )
    image.add(library(NCCL, "libc.so.6", defined=defines))
    image.install("nvidia-nccl-cu12", "2.29.3")
    image.install("nvidia-nccl-cu13", "2.29.7")
    image.install("torch", "2.13.0", requires=("nvidia-nccl-cu13==2.29.7",))
    image.stranger()
    image.claims[NCCL] = (Claim(CU12_INFO, winner == "cu12"), Claim(CU13_INFO, winner == "cu13"))
    return image


OLD, NEW = frozenset({"ncclCommInitAll", "ncclCommRevoke"}), frozenset({"ncclCommResume", "ncclCommInitAll"})


def test_of_two_nccls_in_one_file_the_older_lacks_what_pytorch_asks_for() -> None:
    """https://github.com/pytorch/pytorch/issues/186591: both owners, the winner, and what mends it."""
    image = with_two_nccls(winner="cu12", defines=OLD)
    certificate = image.judged()
    (symbol,) = [one for one in certificate.findings if one.rule == "symbols"]
    assert symbol.severity is ERROR, listing(certificate)
    assert symbol.text == (
        "nothing that it is loaded with defines ncclCommResume, nor does libnccl.so.2 "
        "(nvidia-nccl-cu12 2.29.3), which has its kind"
    )
    assert "nvidia-nccl-cu12 2.29.3 and nvidia-nccl-cu13 2.29.7" in symbol.why
    assert symbol.hint == (
        "uninstall nvidia-nccl-cu12, then install nvidia-nccl-cu13==2.29.7 again, last and alone "
        "(--no-deps --force-reinstall)"
    )


def test_a_library_for_another_cuda_on_top_is_a_warning_also_where_its_symbols_are_there() -> None:
    """https://github.com/rwth-i6/returnn/issues/1802, and the order that happens to work."""
    image = with_two_nccls(winner="cu12", defines=NEW)
    (finding,) = [one for one in image.judged().findings if "claimed by" in one.text]
    assert finding.severity is WARNING
    assert "nvidia-nccl-cu13 is the one for CUDA 13" in finding.why


def test_the_right_one_on_top_is_a_note() -> None:
    image = with_two_nccls(winner="cu13", defines=NEW)
    certificate = image.judged()
    (finding,) = [one for one in certificate.findings if "claimed by" in one.text]
    assert finding.severity is NOTE
    assert not [one for one in certificate.findings if one.severity is ERROR], listing(certificate)
