"""A double of NVIDIA's management library (NVML) that the real pynvml loads: what it tells is in a file.

So the code that reads a GPU is tested as it is, while the test plays the driver: it says how much memory is
in use and by which processes, and lets the GPU fall off the bus.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

UUID = "GPU-00000000-0000-0000-0000-00000000d0b1"
GIB = 1 << 30
IS_LOST = 15
"""NVML_ERROR_GPU_IS_LOST of nvml.h"""

_TEXT = r"""
#include <stdio.h>
#include <string.h>
struct memory { unsigned long long total, free, used; };
struct process { unsigned pid; unsigned long long used; unsigned gpu, compute; };
enum { NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, MAX = 64 };
static int status, capability; static unsigned pids[MAX], count; static struct memory memory;

/* Read the state anew: the GPU's status, capability, total and used bytes, and the processes on it. */
static int look(void) {
    FILE *file = fopen("@state@", "r");
    const char *form = "%d %d %llu %llu";
    if (!file || fscanf(file, form, &status, &capability, &memory.total, &memory.used) != 4) return 999;
    memory.free = memory.total - memory.used;
    for (count = 0; count < MAX && fscanf(file, "%u", &pids[count]) == 1; count++);
    fclose(file);
    return status;
}
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int error) { return error == 15 ? "GPU is lost" : "an error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "580.65.06", size); return 0; }
int nvmlDeviceGetCount_v2(unsigned *number) { look(); *number = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu) { *gpu = (void *)1; return look(); }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **gpu) {
    *gpu = (void *)1;
    return strcmp(uuid, "@uuid@") ? NOT_FOUND : look();
}
int nvmlDeviceGetName(void *gpu, char *text, unsigned size) { strncpy(text, "a double", size); return 0; }
int nvmlDeviceGetUUID(void *gpu, char *text, unsigned size) { strncpy(text, "@uuid@", size); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor) {
    int error = look();
    *major = capability / 10;
    *minor = capability % 10;
    return error;
}
int nvmlDeviceGetMemoryInfo(void *gpu, struct memory *answer) {
    int error = look();
    *answer = memory;
    return error;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *gpu, unsigned *number, struct process *answer) {
    int error = look();
    unsigned room = *number;
    *number = count;
    if (error || !count) return error;
    if (!answer || room < count) return INSUFFICIENT_SIZE;
    for (unsigned index = 0; index < count; index++) answer[index] = (struct process){pids[index], 1, 0, 0};
    return 0;
}
"""


@dataclass
class NvmlDouble:
    """One GPU of 80 GiB. Its library lies in ``folder``, for LD_LIBRARY_PATH."""

    folder: Path
    pids: list[int] = field(default_factory=list)
    used: int = GIB // 2
    total: int = 80 * GIB
    capability: int = 90
    status: int = 0
    uuid: str = UUID

    def __post_init__(self) -> None:
        """Compile it."""
        text = _TEXT.replace("@state@", str(self.state)).replace("@uuid@", self.uuid)
        (self.folder / "nvml.c").write_text(text)
        library = self.folder / "libnvidia-ml.so.1"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, self.folder / "nvml.c"], check=True)
        self.tell()

    @property
    def state(self) -> Path:
        """The file that it reads at every question."""
        return self.folder / "gpu"

    def tell(self, **changes: int | list[int]) -> None:
        """Tell this from now on."""
        vars(self).update(changes)
        words = [self.status, self.capability, self.total, self.used, *self.pids]
        fresh = self.folder / "fresh"
        fresh.write_text(" ".join(map(str, words)))
        fresh.replace(self.state)
