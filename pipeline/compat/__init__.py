"""Which PyTorch, CUDA, Python, vLLM, driver and GPU go together: facts with sources, and rules over them.

    facts.json, overlay.json, companions.json → Facts → rules → Verdict

Three rooms stand on that: ``explain`` answers a question, ``environment`` judges a list of packages,
``diagnosis`` names the cause of a failure from its log. Pure: they read their own files and what they are
given, and nothing else, so every verb may ask them.
"""

from pipeline.compat.facts import shipped
from pipeline.compat.judge import conditions_of, judge
from pipeline.compat.lookup import default_cuda, driver_floor, local_builds, newer_release
from pipeline.compat.stacks import nearest, newest_vllm

__all__ = [
    "conditions_of",
    "default_cuda",
    "driver_floor",
    "judge",
    "local_builds",
    "nearest",
    "newer_release",
    "newest_vllm",
    "shipped",
]
