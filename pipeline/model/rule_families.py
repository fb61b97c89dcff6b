"""The families of rules by which an image's files are judged: their names, and what each of them asks.

From this table come the descriptions in SARIF, the page ``docs/certificate-rules.md`` and, through the
names, the JSON Schema of ``exceptions:`` in matrix.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

RuleName = Literal[
    "closure",
    "symbols",
    "one-cuda",
    "device-code",
    "driver-floor",
    "jit",
    "shadow",
    "contents",
    "requirements",
    "config",
    "hooks",
    "budget",
    "exceptions",
]
RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)
"""In the order in which a certificate lists their findings."""


@dataclass(frozen=True, slots=True)
class RuleFamily:
    """What a family asks, as a sentence, and where it finds an error, and a warning or a note, as clauses.

    ``warning`` is empty for a family that finds errors only, ``error`` for one that finds none.
    """

    asks: str
    error: str
    warning: str


RULE_FAMILIES: dict[RuleName, RuleFamily] = {
    "closure": RuleFamily(
        asks="Every library that an object needs is where the loader looks, in a version that will do.",
        error="a program, a Python extension or a library that these load needs a library that nothing "
        "provides, a symbol version that its provider lacks, or an executable stack that the image's glibc "
        "refuses",
        warning="a plugin that its package tries and does without; none of the builds that a package "
        "chooses from can be loaded, which is an error where the server imports it at its start",
    ),
    "symbols": RuleFamily(
        asks="What an extension leaves undefined is defined by something that is loaded with it.",
        error="an extension or a library that it loads needs symbols that nothing in its process defines; "
        "the finding names the library that should",
        warning="",
    ),
    "one-cuda": RuleFamily(
        asks="One CUDA major in a process, and no part of the toolkit newer than the runtime.",
        error="two CUDA majors are loaded into one process",
        warning="two minors are; a runtime is linked into a library",
    ),
    "device-code": RuleFamily(
        asks="Libraries with device code hold some for every GPU architecture that is asked for.",
        error="a required architecture has no code in what every model runs, or in any library of a package "
        "that is loaded; a library that must have device code has none",
        warning="there is PTX only, with the driver that it needs; a package that may open its libraries has "
        "no code",
    ),
    "driver-floor": RuleFamily(
        asks="What the image says of the driver that it needs agrees with what is inside.",
        error="the label names another driver than the files need",
        warning="a compiler is older or newer than the runtime",
    ),
    "jit": RuleFamily(
        asks="What run-time compilation calls is there, makes code for the GPUs, and fits together.",
        error="a C compiler or Python.h is missing where vLLM is installed, which compiles at every start; "
        "Triton's ptxas makes no code for a required architecture",
        warning="the same with PyTorch alone; nvcc or cuobjdump is missing where FlashInfer or DeepGEMM may "
        "call it, or makes no code for a GPU that the image is for; headers, libraries or the driver are not "
        "where the compiler and the linker look",
    ),
    "shadow": RuleFamily(
        asks="Nothing in the image hides the host's driver, or a library that a package has of its own.",
        error="a stub or a CUDA compat directory hides the host's driver on the loader's path",
        warning="one is in the image and not on that path; another NCCL, cuDNN or cuBLAS is found before the "
        "one of the packages",
    ),
    "contents": RuleFamily(
        asks="What is installed is what the lock, the labels and the packages say, and is there once.",
        error="the installed set is not the lock's, labels contradict files, a package is installed twice; "
        "files of two packages are mixed, a .pth file or the start of a package is gone",
        warning="a package's files differ from its RECORD; of two packages with the same files the wrong one "
        "lies on top; a folder hides another package's module",
    ),
    "requirements": RuleFamily(
        asks="What the installed packages require of each other is installed, in versions that fit.",
        error="a package that the server or torch imports requires another version than is installed, or "
        "what it imports at its start is missing (with a lock: whatever is missing); parts of one release "
        "differ; a pair that is known to fail",
        warning="something else is missing; a contradiction in what no server imports, or with a library of "
        "NVIDIA's, whose files decide; a requirement that cannot be parsed",
    ),
    "config": RuleFamily(
        asks="The image starts, for its user, without secrets and without hiding GPUs.",
        error="its user cannot get to a program, to Python or to a library that these need; a secret is in "
        "the environment, the history or a file; all GPUs are hidden",
        warning="LD_PRELOAD is set; only root can use it; a variable names what is not there; the driver is "
        "not found where some platforms mount it",
    ),
    "hooks": RuleFamily(
        asks="What runs whenever Python starts, whatever it imports, is known.",
        error="with a lock: a .pth file with a line of code, or a sitecustomize or usercustomize among the "
        "packages, is none of those that are known by package, file and SHA-256",
        warning="the same without a lock",
    ),
    "budget": RuleFamily(
        asks="The image is no larger than it may be.",
        error="it is larger than the matrix allows",
        warning="it outgrew the last proven image by more than a tenth",
    ),
    "exceptions": RuleFamily(
        asks="Every exception in the matrix is needed and not out of date.",
        error="",
        warning="an exception matches no finding, or its day is over",
    ),
}
"""What each family asks, by its name."""
