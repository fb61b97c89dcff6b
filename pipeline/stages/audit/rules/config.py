"""Configuration: how the image is started, by whom, and with what environment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats.image_config import ImageConfig
from pipeline.model import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="config")

_STICKY = 0o1000


def preload(image: ImageModel) -> Iterator[ImageFinding]:
    """Nothing is preloaded into every process, which includes the container toolkit's own."""
    words = image.env.get("LD_PRELOAD", "").replace(":", " ").split()
    for word in words:
        if not _is_found(image, word):
            yield _finding(
                severity=Severity.WARNING,
                path=word if word.startswith("/") else "",
                text=f"LD_PRELOAD names {word}, which is not there",
                why="each program prints an error as it starts, and runs without what it would bring: object "
                "from LD_PRELOAD cannot be preloaded",
                hint="install the package that brings it, or take it out of LD_PRELOAD",
            )
            continue
        yield _finding(
            severity=Severity.WARNING,
            path=word if word.startswith("/") else "",
            text=f"LD_PRELOAD loads {word} into every process",
            why="hooks of older container toolkits run with it outside the container (CVE-2025-23266), so "
            "GPU hosts refuse such images; and it may replace code that libraries were tested with",
            hint="set it in the entrypoint, only for the program that needs it",
        )
    if text := image.inventory.texts.get("/etc/ld.so.preload", "").strip():
        yield _finding(
            severity=Severity.WARNING,
            path="/etc/ld.so.preload",
            text=f"it loads {text.split()[0]} into every process",
            why="it may replace code that libraries were tested with",
            hint="remove the file",
        )


def _is_found(image: ImageModel, word: str) -> bool:
    """Whether the loader finds what is preloaded: a path, with tokens of its own, or a name."""
    if "$" in word:
        return True
    if "/" in word:
        return image.links.file(word) is not None
    cached = {entry.soname for entry in image.inventory.linker_cache or ()}
    folders = image.loader.folders(image.machine)
    return word in cached or any(image.links.file(f"{folder}/{word}") for folder in folders)


def start(image: ImageModel) -> Iterator[ImageFinding]:
    """The image has something to start, and it is executable."""
    config = image.inventory.config
    if config == ImageConfig():
        return
    words = (*config.entrypoint, *config.command)
    if not words:
        yield _finding(
            severity=Severity.WARNING,
            text="neither an entrypoint nor a command is set",
            why="`docker run` without a command fails: no command specified",
            hint="set ENTRYPOINT",
        )
        return
    first = words[0]
    if real := image.on_path(first):
        yield from _interpreter(image, first, real)
        return
    if "/" in first and not first.startswith("/"):
        return
    file = image.links.file(first) if first.startswith("/") else None
    yield _finding(
        severity=Severity.ERROR,
        path=first if first.startswith("/") else "",
        text=f"the image starts {first}, which {'is not executable' if file else 'is not there'}",
        why="the container does not start",
        hint="chmod +x it" if file else "install it, or correct ENTRYPOINT and PATH",
    )


def _interpreter(image: ImageModel, first: str, real: str) -> Iterator[ImageFinding]:
    """What a script is started with is there."""
    interpreter = image.inventory.interpreters.get(real, "")
    if interpreter.startswith("/") and not image.links.file(interpreter):
        yield _finding(
            severity=Severity.ERROR,
            path=real,
            text=f"the image starts {first}, a script for {interpreter}, which is not there",
            why="the container does not start: no such file or directory",
            hint="install it anew in the environment where it is to run",
        )


def writable(image: ImageModel) -> Iterator[ImageFinding]:
    """No folder of programs, libraries or modules is writable by everyone."""
    folders = dict.fromkeys(image.path, "PATH")
    folders |= dict.fromkeys(image.loader.folders(image.machine), "the loader's path")
    folders |= {image.main.site: "Python's path"} if image.main else {}
    reported = set()
    for folder, use in folders.items():
        real = image.links.real(folder)
        node = image.inventory.nodes.get(real) if real else None
        if node and node.kind == "directory" and node.mode & 0o002 and node.path not in reported:
            reported.add(node.path)
            sticky = " (with the sticky bit)" if node.mode & _STICKY else ""
            yield _finding(
                severity=Severity.WARNING,
                path=node.path,
                text=f"it is writable by everyone{sticky}, and it is on {use}",
                why="any process in the container can put code there that others run",
                hint=f"chmod o-w {node.path}",
            )


def devices(image: ImageModel) -> Iterator[ImageFinding]:
    """The environment does not hide the GPUs that the image is for."""
    if not image.uses_cuda:
        return
    env = image.env
    for name, hiding in (
        ("CUDA_VISIBLE_DEVICES", {"", "-1", "none", "NoDevFiles"}),
        ("NVIDIA_VISIBLE_DEVICES", {"none", "void"}),
    ):
        value = env.get(name)
        if value is None or value == "all" or (name.startswith("NVIDIA") and not value):
            continue
        hides_all = value in hiding
        yield _finding(
            severity=Severity.ERROR if hides_all else Severity.WARNING,
            text=f"{name} is set to {value!r}",
            why="no GPU is seen, and PyTorch falls back to the CPU or fails"
            if hides_all
            else "only these GPUs are seen, on whatever host it runs",
            hint="set it when the container starts",
        )
    capabilities = env.get("NVIDIA_DRIVER_CAPABILITIES", "")
    lacking = [
        capability for capability in ("compute", "utility") if capability not in capabilities.split(",")
    ]
    if capabilities and capabilities != "all" and lacking:
        yield _finding(
            severity=Severity.ERROR if "compute" in lacking else Severity.WARNING,
            text=f"NVIDIA_DRIVER_CAPABILITIES is {capabilities!r}, without {' and '.join(lacking)}",
            why="without compute there is no libcuda.so.1, without utility no NVML, which vLLM uses",
            hint="set it to compute,utility",
        )
    for name in ("CUDA_LAUNCH_BLOCKING", "NVIDIA_DISABLE_REQUIRE"):
        if env.get(name) in {"1", "true"}:
            yield _finding(
                severity=Severity.WARNING,
                text=f"{name} is set",
                why="every kernel launch waits: for debugging only, many times slower"
                if name.startswith("CUDA")
                else "a driver that is too old is accepted, and fails later",
                hint="set it when the container starts",
            )
