"""Configuration: how the image is started, by whom, and with what environment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats.image_config import ImageConfig
from pipeline.formats.numbers import whole
from pipeline.model import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.image_files.nodes import Node
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="config")

_STICKY = 0o1000
_READ, _WRITE, _ENTER = 4, 2, 1


def preload(image: ImageModel) -> Iterator[ImageFinding]:
    """Nothing is preloaded into every process, which includes the container toolkit's own."""
    words = image.env.get("LD_PRELOAD", "").replace(":", " ").split()
    for word in words:
        is_there = "/" not in word or image.links.file(word) is not None
        yield _finding(
            severity=Severity.WARNING,
            path=word if word.startswith("/") else "",
            text=f"LD_PRELOAD loads {word} into every process"
            + ("" if is_there else ", and it is not there"),
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
    if image.on_path(first) or ("/" in first and not first.startswith("/")):
        return
    file = image.links.file(first) if first.startswith("/") else None
    yield _finding(
        severity=Severity.ERROR,
        path=first if first.startswith("/") else "",
        text=f"the image starts {first}, which {'is not executable' if file else 'is not there'}",
        why="the container does not start",
        hint="chmod +x it" if file else "install it, or correct ENTRYPOINT and PATH",
    )


def access(image: ImageModel) -> Iterator[ImageFinding]:
    """The image's user can access what it starts and imports, and so can any user in group 0."""
    config = image.inventory.config
    if config == ImageConfig():
        return
    uid, gid = _user(image)
    for what, path in _needed(image):
        barrier = _barrier(image, path, uid, gid)
        if barrier:
            yield _finding(
                severity=Severity.ERROR,
                path=barrier,
                text=f"user {config.user} cannot get to {what} through it",
                why="the container does not start: permission denied",
                hint=f"chmod a+rX {barrier}",
            )
        elif uid == 0 and (barrier := _barrier(image, path, _ANYBODY, 0)):
            yield _finding(
                severity=Severity.NOTE,
                path=barrier,
                text=f"only root gets to {what} through it",
                why="platforms that give each container a user of its own (OpenShift) cannot run it",
                hint=f"chmod a+rX {barrier}",
            )
    home = image.links.real(image.env.get("HOME", "")) if image.env.get("HOME") else None
    node = image.inventory.nodes.get(home) if home else None
    if node and uid != 0 and not _may(node, uid, gid, _WRITE):
        yield _finding(
            severity=Severity.WARNING,
            path=node.path,
            text=f"HOME is not writable for user {config.user}",
            why="Triton, vLLM and the hub keep what they compile and download there",
            hint=f"chown {config.user} {node.path}",
        )


_ANYBODY = 1_000_670_000
"""A user id that is in no image, like those of OpenShift."""


def _user(image: ImageModel) -> tuple[int, int]:
    """The image's user and group; a name that cannot be looked up counts as any user."""
    user, _, group = image.inventory.config.user.partition(":")
    rows = [row.split(":") for row in image.inventory.texts.get("/etc/passwd", "").splitlines()]
    ids = {row[0]: (row[2], row[3]) for row in rows if len(row) > 3}  # noqa: PLR2004 - name, x, uid, gid
    by_uid = dict(ids.values())
    uid, gid = ids.get(user, (user or "0", by_uid.get(user or "0", "0")))
    if user == "root":
        uid, gid = "0", "0"
    numbers = whole(uid), whole(gid if whole(group) is None else group)
    return _ANYBODY if numbers[0] is None else numbers[0], _ANYBODY if numbers[1] is None else numbers[1]


def _needed(image: ImageModel) -> Iterator[tuple[str, str]]:
    config = image.inventory.config
    for word in (*config.entrypoint, *config.command)[:1]:
        if real := image.on_path(word):
            yield word, real
    if image.main:
        yield "Python's packages", image.main.site
        if image.main.python:
            yield "Python", image.main.python


def _barrier(image: ImageModel, path: str, uid: int, gid: int) -> str | None:
    """The first folder on the path that this user may not enter, or the path itself if it is unreadable."""
    if uid == 0:
        return None
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        folder = "/" + "/".join(parts[:depth])
        node = image.inventory.nodes.get(folder)
        needed = _READ if depth == len(parts) else _ENTER
        if node and node.kind != "link" and not _may(node, uid, gid, needed):
            return folder
    return None


def _may(node: Node, uid: int, gid: int, what: int) -> bool:
    shift = 6 if node.uid == uid else 3 if node.gid == gid else 0
    return bool(node.mode >> shift & what)


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
