"""Installing: pip, uv, apt, and what is built from source meanwhile."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import PIP, UV
from pipeline.model.diagnoses import Blame

SIGNATURES = (
    Signature(
        id="build-of-other-index",
        blame=Blame.USAGE,
        cause="{package} {version}+{build} was asked for from an index that does not have it: builds with a "
        "+ are on PyTorch's own index",
        remedy="add https://download.pytorch.org/whl/{build} as an index (--extra-index-url; for uv an "
        "index of its own for torch): that of the build, as the index of all has not the old ones",
        seen=(
            *(
                f"{said} {{package:name}}=={{version:number}}+{{build:name}}"
                for said in (
                    "No matching distribution found for",
                    "Could not find a version that satisfies the requirement",
                    "there is no version of",
                )
            ),
        ),
        explains=("version-not-there", "no-solution", "wheel-for-other-python"),
        sources=("https://github.com/pytorch/pytorch/issues/170511", UV),
    ),
    Signature(
        id="version-not-there",
        blame=Blame.USAGE,
        cause="the index has no such version for this Python and machine[: {package}]",
        remedy="look which versions there are (`pip index versions`) and for which Python: a wheel for this "
        "Python or processor may be missing; PyTorch's builds for CUDA are on "
        "https://download.pytorch.org/whl",
        seen=(
            "No matching distribution found for {package:path}",
            "there is no version of {package:path}",
            "was not found in the package registry",
        ),
        explains=("no-solution",),
        sources=(PIP,),
    ),
    Signature(
        id="torch-of-other-vllm",
        blame=Blame.IMAGE,
        cause="vLLM pins torch {wanted}, and another one is wanted or installed[: {has}]",
        remedy="put torch, torchvision, torchaudio and vllm into one call of the resolver; choose the vLLM "
        "that pins the torch you want: `python -m pipeline explain torch=… vllm=…`",
        seen=(
            "vllm {} requires torch=={wanted:v}, but you have torch {has:v}",
            "vllm {}depends on torch=={wanted:v}",
            "vllm{}depends on torch=={wanted:v}",
            "vllm {}requires torch=={wanted:v}",
        ),
        explains=("packages-conflict", "no-solution", "installed-conflict"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/11283",
            "https://github.com/hiyouga/EasyR1/issues/27",
        ),
    ),
    Signature(
        id="installed-conflict",
        blame=Blame.IMAGE,
        cause="what was installed last does not go with what was there: {package} {version} needs {wanted}",
        remedy="install all of it in one call, or from one lock; `python -m pip check` lists what is broken",
        seen=("{package} {version:v} requires {wanted:path}, but you have {has:text} which is incompatible",),
        sources=(PIP,),
    ),
    Signature(
        id="packages-conflict",
        blame=Blame.USAGE,
        cause="the packages that are asked for cannot be installed together",
        remedy="read which two the resolver names last, and loosen one of them; ask for fewer exact versions",
        seen=(
            "ResolutionImpossible",
            "these package versions have conflicting dependencies",
        ),
        sources=(PIP,),
    ),
    Signature(
        id="no-solution",
        blame=Blame.USAGE,
        cause="uv finds no set of packages that goes together",
        remedy="read its `Because … and …, we can conclude that`: the first two name what contradicts; an "
        "index of its own for torch often helps",
        seen=("No solution found when resolving",),
        sources=(UV,),
    ),
    Signature(
        id="wheel-for-newer-glibc",
        blame=Blame.IMAGE,
        cause="the package has no wheel for this machine: the base's glibc is older than its wheels ask "
        "for, or it is for another processor",
        remedy="take a base with a newer glibc (manylinux_2_35 is Ubuntu 22.04, 2_28 Debian 10 and RHEL 8), "
        "or another release: vLLM 0.20 is for 2_35, 0.22 and newer for 2_28; Alpine (musl) has none",
        seen=(
            "is not a supported wheel on this platform",
            "has no wheels with a matching platform tag",
            "only has wheels for the following platform",
            "You're on {} but {} only has wheels for",
            "has no wheels for the following platform",
            "only found wheels for {} on the following platform",
            "doesn't have a source distribution or wheel for the current platform",
        ),
        explains=("version-not-there", "no-solution"),
        sources=("https://github.com/vllm-project/vllm/issues/39609",),
    ),
    Signature(
        id="wheel-for-other-python",
        blame=Blame.USAGE,
        cause="the package has nothing for this Python",
        remedy="take a Python that it supports: `python -m pipeline explain vllm=…` names them",
        seen=(
            "has no wheels with a matching Python ABI tag",
            "has no wheels with a matching Python version tag",
            "requires a different Python: {has:v} not in",
            "Ignored the following versions that require a different python version",
            "the requested Python version (",
            "only has wheels with the following Python ABI tag",
            "only found wheels for {} with the following Python",
        ),
        explains=("version-not-there", "no-solution"),
        sources=(PIP,),
    ),
    Signature(
        id="hash-mismatch",
        blame=Blame.HOST,
        cause="a package that was fetched is not the locked one",
        remedy="if the index rebuilt it, lock again; else a mirror or proxy gives other bytes: do not "
        "install them",
        seen=(
            "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "Hash mismatch for",
            "hash mismatch for package",
        ),
        sources=("https://pip.pypa.io/en/stable/topics/secure-installs/",),
    ),
    Signature(
        id="python-of-system",
        blame=Blame.USAGE,
        cause="the distribution's own Python takes no packages from pip",
        remedy="make an environment: `python3 -m venv /opt/venv`, or `uv venv`",
        seen=(
            "externally-managed-environment",
            "This environment is externally managed",
            "is externally managed",
        ),
        sources=("https://peps.python.org/pep-0668/",),
    ),
    Signature(
        id="build-without-torch",
        blame=Blame.USAGE,
        cause="an extension is built in an environment of its own, which has no torch: {package}",
        remedy="install torch first, then the extension with --no-build-isolation; better a wheel that is "
        "built for this torch",
        seen=(
            "Failed to build '{package}'",
            "Failed building wheel for {package}",
            "Getting requirements to build wheel did not run {package}",
        ),
        needs=(("ModuleNotFoundError: No module named 'torch'",),),
        explains=("module-missing", "build-fails"),
        sources=("https://docs.astral.sh/uv/concepts/projects/config/#build-isolation",),
    ),
    Signature(
        id="build-fails",
        blame=Blame.IMAGE,
        cause="a package has no wheel here and could not be built from source",
        remedy="take a version with a wheel for this Python and CUDA; else read the compiler's first error",
        seen=(
            "subprocess-exited-with-error",
            "metadata-generation-failed",
            "Failed building wheel for {package}",
            "Failed to build '{package}'",
            "The build backend returned an error",
        ),
        is_symptom=True,
        sources=(PIP,),
    ),
    Signature(
        id="index-unreachable",
        blame=Blame.HOST,
        cause="the package index did not answer in time",
        remedy="try again with more patience (UV_HTTP_TIMEOUT=300, pip --timeout 100), by a mirror or "
        "proxy; the wheels of CUDA are hundreds of megabytes each",
        seen=(
            "ReadTimeoutError: HTTPSConnectionPool",
            "Failed to download distribution due to network timeout",
            "Connection broken: IncompleteRead",
            "operation timed out{}UV_HTTP_TIMEOUT",
            "UV_HTTP_TIMEOUT",
            "connection broken by 'ConnectTimeoutError",
        ),
        sources=("https://docs.astral.sh/uv/reference/environment/",),
    ),
    Signature(
        id="distribution-packages",
        blame=Blame.HOST,
        cause="apt cannot fetch a package: its lists are older than the mirror, the release has ended, or a "
        "key is missing",
        remedy="`apt-get update` in the same RUN as the install; for an ended release its archive; for a "
        "third source its key",
        seen=(
            "E: Unable to locate package {package:path}",
            "E: Failed to fetch",
            "NO_PUBKEY {key:path}",
            "does not have a Release file",
        ),
        sources=("https://docs.docker.com/build/building/best-practices/#apt-get",),
    ),
)
