"""Probe: what Transformers generates, greedily and in float32 on the CPU.

Arguments: the model's folder, and JSON with ``steps``, ``prompts`` and ``messages``. Prints for each
prompt its tokens and, for each step, the margin by which the best logit beat the second; for the
messages the prompt that the chat template makes of them, and its tokens.
"""

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def answer(model, prompt, steps):
    """The greedy tokens and their margins; the end of text ends it, and is not counted."""
    ids = torch.tensor([prompt])
    tokens, margins, cache = [], [], None
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    for _ in range(steps):
        out = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best, second = out.logits[0, -1].float().topk(2).values.tolist()
        token = int(out.logits[0, -1].argmax())
        if token in ends:
            break
        tokens.append(token)
        margins.append(best - second)
        ids = torch.tensor([[token]])
    return {"prompt_tokens": prompt, "tokens": tokens, "margins": margins}


def main():
    folder, asked = sys.argv[1], json.loads(sys.argv[2])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        found = [answer(model, tokenizer(prompt).input_ids, asked["steps"]) for prompt in asked["prompts"]]
        chat = None
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(
                asked["messages"], tokenize=False, add_generation_prompt=True
            )
            chat = answer(model, tokenizer(text, add_special_tokens=False).input_ids, asked["chat_steps"])
            chat["text"] = tokenizer.decode(chat["tokens"])
    print("probe-result: " + json.dumps({"answers": found, "chat": chat}), flush=True)
    os._exit(0)


main()
