"""Saboteurs that a certificate finds: what is wrong lies in the image's files, and none of them is run."""

from __future__ import annotations

from tests.saboteurs.saboteur import PYTHON, Saboteur

_SITE = "/opt/venv/lib/python3*/site-packages"
_RELINK = r"""
import pathlib, sysconfig
asked, of_another = b"_ZN2at15get_num_threadsEv", b"_ZN2at15got_num_threadsEv"
for path in pathlib.Path(sysconfig.get_path("purelib"), "vllm").glob("_C*.so"):
    path.write_bytes(path.read_bytes().replace(asked, of_another))
"""

FILES = (
    Saboteur(
        "torch-swapped",
        "another torch than the lock's, as a later `pip install` leaves it",
        "contents",
        r"torch",
        f"RUN cd {_SITE}"
        " && mv torch-2.13.0+cpu.dist-info torch-2.12.1+cpu.dist-info"
        " && sed -i 's/^Version: .*/Version: 2.12.1+cpu/' torch-2.12.1+cpu.dist-info/METADATA"
        " && sed -i 's/2\\.13\\.0+cpu/2.12.1+cpu/' torch/version.py"
        " && find torch -name 'version.*.pyc' -delete",
    ),
    Saboteur(
        "another-torchs-extension",
        "vLLM's extensions ask for a symbol of another torch",
        "symbols",
        r"got_num_threads",
        f"COPY <<'PROGRAM' /relink.py\n{_RELINK}PROGRAM\nRUN {PYTHON} /relink.py && rm /relink.py",
    ),
    Saboteur(
        "no-compiler",
        "a runtime image that somebody made smaller by its compiler: all imports work, nothing compiles",
        "jit",
        r"C\+\+",
        "RUN rm -f /usr/bin/*g++* /usr/bin/*c++*",
    ),
    Saboteur(
        "no-libnuma",
        "a library is gone that vLLM's CPU extension is linked with",
        "closure",
        r"libnuma",
        "RUN rm -f /usr/lib/*/libnuma.so*",
    ),
    Saboteur(
        "labels-that-lie",
        "its label names another torch than its files have",
        "contents",
        r"label",
        "LABEL tagproof.torch=2.12.1",
    ),
)
