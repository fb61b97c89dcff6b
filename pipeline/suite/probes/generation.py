"""Probe: what Transformers' own ``generate`` answers, greedily, to all prompts together.

Arguments: the model's folder, and JSON with ``prompts``, ``steps``, ``device`` and ``dtype``. Prints the
tokens that follow each prompt. The shorter prompts are padded at their start.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

torch: Any = importlib.import_module("torch")
transformers: Any = importlib.import_module("transformers")


def main() -> None:
    """Answer all prompts, print the answers, and exit at once, skipping atexit handlers."""
    folder, question = sys.argv[1], json.loads(sys.argv[2])
    device, dtype = question["device"], getattr(torch, question["dtype"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    asked = tokenizer(question["prompts"], padding=True, return_tensors="pt").to(device)
    given = {"input_ids": asked.input_ids, "attention_mask": asked.attention_mask}
    tokens = model.generate(**given, do_sample=False, max_new_tokens=question["steps"])
    answers = tokens[:, asked.input_ids.shape[1] :].tolist()
    sys.stdout.write(f"\nprobe-result: {json.dumps(answers)}\n")
    sys.stdout.flush()
    os._exit(0)


main()
