"""What PyTorch's own small files say of its build: ``torch/version.py`` and ``CUDAConfig.h``."""

from __future__ import annotations

import ast
import re

VERSION = "torch/version.py"
CONFIG = "torch/include/ATen/cuda/CUDAConfig.h"
"""The flags that its own build gave to nvcc, in 1 kB: the list that ``torch.cuda.get_arch_list()`` gives."""


def strings(source: bytes) -> dict[str, str]:
    """The names that a Python module gives texts to, with them; nothing of it is run.

    Raises SyntaxError, ValueError, RecursionError or MemoryError where it is no module.
    """
    assigned: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str):
                assigned |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return assigned


def archs(config: bytes) -> tuple[str, ...] | None:
    """What nvcc was told to make, from ``-gencode;arch=compute_90,code=sm_90;…``; None where it says none."""
    flags = re.search(rb'NVCC_FLAGS_EXTRA\s+"([^"]+)"', config)
    codes = re.findall(rb"code=\[?((?:sm|compute)_[0-9a-z]+)", flags[1]) if flags else []
    return tuple(code.decode() for code in codes) or None
