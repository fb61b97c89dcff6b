#!/opt/venv/bin/python -I
"""The entrypoint: vLLM's OpenAI server under an init.

SERVE_ARGS are the image's defaults: words, quoted as for a shell, of which nothing is expanded: no variable,
no pattern, no command. An argument given to the container comes later on the command line and wins.
"""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

# Where torch.compile puts the C++ headers that it compiles once for all of its kernels, whatever
# TORCHINDUCTOR_CACHE_DIR says (default_cache_dir in torch/_inductor/runtime/cache_dir_utils.py). No part of a
# start on a CPU takes longer, so they are kept with the rest.
HEADERS = Path(f"/tmp/torchinductor_{os.environ.get('USER', '')}")  # noqa: S108 - torch's choice

if cache := os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
    with suppress(OSError):  # no place that keeps them: they are made at each start
        Path(cache).mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            HEADERS.symlink_to(cache)

# Only the first process is told to end: it ends the others once they have finished what was accepted. To tell
# the whole group (tini -g) ends the workers at once, in the middle of their answers.
SERVER = ("tini", "--", "python", "-m", "vllm.entrypoints.openai.api_server")

try:
    defaults = shlex.split(os.environ.get("SERVE_ARGS", ""))
except ValueError as error:
    sys.exit(f"SERVE_ARGS: {error}\nhint: quote its words as for a shell: SERVE_ARGS=\"--name 'two words'\"")
os.execvp(SERVER[0], [*SERVER, *defaults, *sys.argv[1:]])  # noqa: S606 - a shell would expand the words
