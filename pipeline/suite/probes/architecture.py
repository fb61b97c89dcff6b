"""Probe: what vLLM's registry of models finds out about the architecture of a model, by importing it.

Argument: the folder of the model. The registry imports the model's code in a process of its own, unless it
remembers an earlier one, so its memory is an empty folder here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(model: str) -> None:
    """Print the name of the architecture, and whether the registry takes it for one that generates text."""
    (architecture,) = json.loads((Path(model) / "config.json").read_text())["architectures"]
    with tempfile.TemporaryDirectory() as empty:
        os.environ["VLLM_CACHE_ROOT"] = empty
        registry: Any = importlib.import_module("vllm.model_executor.models.registry")
        found = registry.ModelRegistry.models[architecture].inspect_model_cls()
    results = {"architecture": found.architecture, "generates": found.is_text_generation_model}
    sys.stdout.write(f"\nprobe-result: {json.dumps(results)}\n")
    sys.stdout.flush()
    os._exit(0)


main(*sys.argv[1:])
