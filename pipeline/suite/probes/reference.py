"""Probe: what Transformers generates, greedily and in float32 on the CPU.

Arguments: the model's folder, and JSON with ``prompts`` and their ``steps``, ``messages`` and their
``chat_steps``, ``edges``, which are lengths, and their ``edge_steps``, and ``best``. Prints for each prompt
its tokens, the tokens that follow it and, for each of those, the ``best`` largest log-probabilities, the
largest first; the same for the prompt that the chat template makes, and for prompts of these lengths, which
are made of the tokens of all others.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
from typing import Any

torch: Any = importlib.import_module("torch")
transformers: Any = importlib.import_module("transformers")


def answer(model: Any, prompt: list[int], steps: int, best: int) -> Any:
    """The greedy tokens and their log-probabilities; an end of text ends it, and is not counted."""
    tokens: list[int] = []
    logprobs: list[list[float]] = []
    ends = model.generation_config.eos_token_id
    ids, cache = torch.tensor([prompt]), None
    for _ in range(steps):
        out = model(input_ids=ids, past_key_values=cache, use_cache=True)
        top, cache = out.logits[0, -1].log_softmax(-1).topk(best), out.past_key_values
        token = int(top.indices[0])
        if token in (ends if isinstance(ends, list) else [ends]):
            break
        tokens.append(token)
        logprobs.append(top.values.tolist())
        ids = torch.tensor([[token]])
    return {"prompt_tokens": prompt, "tokens": tokens, "logprobs": logprobs}


def chat_prompt(tokenizer: Any, messages: Any) -> list[int] | None:
    """The tokens that the chat template makes of the messages; None if the model has no template."""
    if not tokenizer.chat_template:
        return None
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def of_length(prompts: list[list[int]], length: int) -> list[int]:
    """The tokens of these prompts, one after the other, as often as it takes."""
    return list(itertools.islice(itertools.cycle(itertools.chain(*prompts)), length))


def main() -> None:
    """Answer all prompts, print the answers, and exit at once, skipping atexit handlers."""
    folder, question = sys.argv[1], json.loads(sys.argv[2])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        prompts, best = [tokenizer(prompt).input_ids for prompt in question["prompts"]], question["best"]
        answers = [answer(model, prompt, question["steps"], best) for prompt in prompts]
        templated = chat_prompt(tokenizer, question["messages"])
        chat = None if templated is None else answer(model, templated, question["chat_steps"], best)
        made = [of_length(prompts, length) for length in question["edges"]]
        edges = [answer(model, prompt, question["edge_steps"], best) for prompt in made]
    sys.stdout.write(f"\nprobe-result: {json.dumps({'answers': answers, 'chat': chat, 'edges': edges})}\n")
    sys.stdout.flush()
    os._exit(0)


main()
