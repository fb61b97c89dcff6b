"""A server of ours that answers every prompt with "Paris", as a behaviour of ``fake_server``."""

from __future__ import annotations

BEHAVIOUR = """
import json

def said(handler):
    asked = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
    text = "Yes" if "messages" in asked else " 2" if "=" in asked["prompt"] else "Paris"
    tokens = list(text.encode())[:asked.get("max_tokens")]
    choice = {"index": 0, "finish_reason": "length", "token_ids": tokens}
    choice |= {"message": {"role": "assistant", "content": text}} if "messages" in asked else {"text": text}
    kind = "chat.completion" if "messages" in asked else "text_completion"
    body = {"id": "1", "object": kind, "created": 1, "model": asked["model"], "choices": [choice]}
    handler.answer(200, json.dumps(body))

SAID["/version"] = '{"version": "0.32.0+cpu"}'
Handler.do_POST = said
"""
