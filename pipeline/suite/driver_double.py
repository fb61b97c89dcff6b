"""A double of NVIDIA's driver: shared objects that answer as a machine with some fault would.

PyTorch, vLLM and their extensions load the driver's libraries, which are on the host and never in an image.
Where there is no GPU the double stands in for them: it defines every symbol that an image asks for, and
answers what it is told to. It cannot stand in for a driver that works, because the CUDA runtime asks that
for tables which NVIDIA does not document (cuGetExportTable). The compiler of the image under test makes it,
so it is for that image's architecture, whatever this machine is.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.adapters.engine import Launch
from pipeline.formats.cuda import CuResult
from pipeline.model import shown
from pipeline.model.certificates import DRIVER_SYMBOL
from pipeline.model.errors import MachineError
from pipeline.suite import probes
from pipeline.suite.targets.container import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.adapters.engine import Engine
    from pipeline.model import ImageRef

CUDA, NVML = "libcuda.so.1", "libnvidia-ml.so.1"
LIBRARIES = (CUDA, NVML)
"""The libraries that it stands in for, by soname: each is made of the same text."""

MAX_TEXT_BYTES = 100_000
"""Of one argument of a program Linux takes 128 KiB: MAX_ARG_STRLEN, execve(2)."""
MAX_LIBRARY_BYTES = 1 << 20
"""A double of 600 symbols has 60 kB."""
_COMPILE_SECONDS = 60.0
_SYMBOL = re.compile(DRIVER_SYMBOL)
_DRIVER = re.compile(r"[0-9.]{1,40}")
_HINT = "the image needs a C compiler (`system: [gcc]` in the matrix), as PyTorch and Triton do at run time"


@dataclass(frozen=True)
class Answers:
    """What the double says.

    ``init``: of cuInit, a CUresult; ``version``: of cuDriverGetVersion (13000 for CUDA 13.0); ``devices``:
    how many GPUs both libraries count; ``nvml``: of nvmlInit, an nvmlReturn_t; ``driver``: the driver's
    version, which NVML tells; ``capability``: of each GPU that NVML counts, as 90 for 9.0.
    """

    init: int = CuResult.NO_DEVICE
    version: int = 13000
    devices: int = 0
    nvml: int = 0
    driver: str = "580.65.06"
    capability: int = 90


_TEXT = r"""
/* No header is included and no library linked, so that any C compiler can make it. */
enum { INIT = %(init)d, VERSION = %(version)d, DEVICES = %(devices)d, NVML = %(nvml)d };
enum { CAPABILITY = %(capability)d };
struct memory { unsigned long long total, free, used; };
enum { NO_DEVICE = 100, NO_SYMBOL = 500, NOT_SUPPORTED = 3, NOW_IF_LOADED = 2 | 4 };
void *dlopen(const char *, int);
void *dlsym(void *, const char *);
int strcmp(const char *, const char *);
char *strncpy(char *, const char *, unsigned long);

int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuDeviceGetCount(int *count) { *count = INIT ? 0 : DEVICES; return INIT; }
int cuGetErrorName(int error, const char **text) { *text = "a double of the driver"; return 0; }
int cuGetErrorString(int error, const char **text) { return cuGetErrorName(error, text); }
int cuGetExportTable(const void **table, const void *id) { *table = 0; return NO_SYMBOL; }
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags,
                        int *found) {
    if (!strcmp(name, "cuGetProcAddress") && version >= 12000) name = "cuGetProcAddress_v2";
    *function = *name ? dlsym(dlopen("libcuda.so.1", NOW_IF_LOADED), name) : 0;
    if (found) *found = *function ? 0 : 1;
    return *function ? 0 : NO_SYMBOL;
}
int cuGetProcAddress(const char *name, void **function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, function, version, flags, 0);
}

int nvmlInit_v2(void) { return NVML; }
int nvmlInit(void) { return NVML; }
int nvmlInitWithFlags(unsigned flags) { return NVML; }
int nvmlShutdown(void) { return NVML; }
const char *nvmlErrorString(int error) { return "a double of the driver"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = NVML ? 0 : DEVICES; return NVML; }
int nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu) { *gpu = (char *)1 + index; return NVML; }
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor) {
    *major = CAPABILITY / 10;
    *minor = CAPABILITY %% 10;
    return NVML;
}
int nvmlDeviceGetName(void *gpu, char *text, unsigned size) { strncpy(text, "a double", size); return NVML; }
int nvmlDeviceGetUUID(void *gpu, char *text, unsigned size) { strncpy(text, "GPU-0", size); return NVML; }
int nvmlDeviceGetMemoryInfo(void *gpu, struct memory *memory) {
    memory->total = memory->free = 80ULL << 30;
    memory->used = 0;
    return NVML;
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "%(driver)s", size); return NVML; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = VERSION; return NVML; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }
"""
_DEFINED = frozenset(re.findall(r"^(?:int|const char \*) ?\*?(\w+)\(", _TEXT, re.MULTILINE))
"""The functions that it answers itself; the declarations among them are the C library's."""
_REFUSALS = {
    "cu": "int %s(void) { return INIT ? INIT : NO_DEVICE; }",
    "nvml": "int %s(void) { return NVML ? NVML : NOT_SUPPORTED; }",
}


def source(symbols: Iterable[str], answers: Answers) -> str:
    """The double in C. ``symbols`` are those that an image asks of the driver's libraries.

    Each that it does not answer itself refuses: with ``init``, or that there is no device. Raises ValueError
    for a symbol that the driver cannot have, and for a version of the driver that is none.
    """
    if not _DRIVER.fullmatch(answers.driver):
        raise ValueError(f"{answers.driver!r} is no version of a driver")
    asked = sorted(set(symbols))
    if strange := [symbol for symbol in asked if not _SYMBOL.fullmatch(symbol)]:
        raise ValueError(f"{strange[0]!r} is no symbol of the driver's libraries")
    own = _TEXT % vars(answers)
    others = (symbol for symbol in asked if symbol not in _DEFINED)
    return own + "".join(f"{_REFUSALS[_family(symbol)] % symbol}\n" for symbol in others)


def compiled(engine: Engine, image: ImageRef, text: str, *, run: str) -> dict[str, bytes]:
    """The double as shared objects by soname, compiled in a container of the image; it must be pulled.

    Raises MachineError where the image has no compiler, or it fails.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise MachineError(
            f"no double of the driver is made for {image}: its text has {len(text)} bytes, and may have "
            f"{MAX_TEXT_BYTES}",
            hint="no ordinary image asks that much of the driver: look at driver_symbols in its certificate",
        )
    launch = Launch(
        image=image,
        run=run,
        entrypoint=(interpreter(engine.config(image).entrypoint),),
        command=("-c", probes.source("compiled"), text, *LIBRARIES),
    )
    done = engine.run(launch, seconds=_COMPILE_SECONDS)
    try:
        return libraries_in(done.stdout)
    except ValueError as error:
        said = f" (exit code {done.exit_code}: {done.stderr.strip()[-300:]})" if done.exit_code != 0 else ""
        what = f"a double of the driver cannot be compiled in {image}: {error}{said}"
        raise MachineError(what, hint=_HINT) from error


def libraries_in(printed: str) -> dict[str, bytes]:
    """The shared objects that ``probes/compiled.py`` printed. Raises ValueError where there are none.

    An image may print anything; what it gives is only ever loaded in containers of that image.
    """
    answer = probes.result(printed)
    answer = answer if isinstance(answer, dict) else {}
    if not (made := answer.get("made")) or not isinstance(made, dict):
        raise ValueError(shown(answer.get("error") or "it printed no result"))
    libraries = {name: base64.b64decode(str(made.get(name)), validate=True) for name in LIBRARIES}
    for name, body in libraries.items():
        if not body.startswith(b"\x7fELF") or len(body) > MAX_LIBRARY_BYTES:
            raise ValueError(
                f"what it made for {name} is no shared object of at most {MAX_LIBRARY_BYTES} bytes"
            )
    return libraries


def place(libraries: Mapping[str, bytes], folder: Path) -> None:
    """Write the shared objects into a folder that is there; every user may read it, as a container's."""
    for name, body in libraries.items():
        files.write(folder / name, body, mode=0o755)
    folder.chmod(0o755)


def _family(symbol: str) -> str:
    return "nvml" if symbol.startswith("nvml") else "cu"
