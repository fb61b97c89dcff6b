"""Images and roots with a Python, a PyTorch and a vLLM that are a few small files each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat import shipped
from pipeline.formats.image_config import ImageConfig
from pipeline.stages import identify
from tests.crafted import Item, a, image, tar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model.identities import Identity

NAME = "registry.example.org/team/app:1"
DEBIAN = a("usr/lib/os-release", b'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
FLAGS = (
    b'#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_80,code=sm_80;-gencode;arch=compute_90,code=sm_90;'
    b'-gencode;arch=compute_120,code=[sm_120,compute_120]"\n'
)


def python(prefix: str = "usr/local", version: str = "3.11") -> Item:
    """The standard library of a Python."""
    return a(f"{prefix}/lib/python{version}/os.py")


def venv(prefix: str, version: str = "3.11") -> Item:
    return a(f"{prefix}/pyvenv.cfg", f"home = /usr/local/bin\nversion = {version}.7\n".encode())


def torch(
    prefix: str = "usr/local",
    version: str = "2.11.0+cu130",
    cuda: str = "13.0",
    python: str = "3.11",
    *,
    recorded: str = "",
    more: str = "",
) -> list[Item]:
    """A PyTorch; ``recorded`` is the version by its metadata, where that is another one."""
    site = f"{prefix}/lib/python{python}/site-packages"
    build = f"cuda: Optional[str] = {cuda!r}\n" if cuda else "cuda: Optional[str] = None\n"
    config = [a(f"{site}/torch/include/ATen/cuda/CUDAConfig.h", FLAGS)] if cuda else []
    return [
        a(f"{site}/torch/version.py", f"__version__ = '{version}'\n{build}{more}".encode()),
        *config,
        metadata(site, "torch", recorded or version),
    ]


def vllm(
    prefix: str = "usr/local", version: str = "0.26.0", name: str = "vllm", python: str = "3.11"
) -> Item:
    return metadata(f"{prefix}/lib/python{python}/site-packages", name, version)


def metadata(site: str, name: str, version: str) -> Item:
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    return a(f"{site}/{name}-{version}.dist-info/METADATA", text.encode())


def identity(
    *items: Item,
    name: str = NAME,
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    below: tuple[Item, ...] = (),
) -> Identity:
    """What an image with these files is; ``below`` are those of a layer under them."""
    files = image(tar(*below), tar(*items)) if below else image(tar(*items))
    files.config = ImageConfig(
        env=tuple((env or {}).items()), labels=dict(labels or {}), platform="linux/amd64"
    )
    with files:
        return identify.of_files(name, files, shipped())
