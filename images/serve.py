#!/opt/venv/bin/python -I
"""The entrypoint: vLLM's OpenAI server under an init.

SERVE_ARGS are the image's defaults: words, quoted as for a shell, of which nothing is expanded: no variable,
no pattern, no command. An argument given to the container comes later on the command line and wins.
"""

import os
import shlex
import sys

# Only the first process is told to end: it ends the others once they have finished what was accepted. To tell
# the whole group (tini -g) ends the workers at once, in the middle of their answers.
SERVER = ("tini", "--", "python", "-m", "vllm.entrypoints.openai.api_server")

try:
    defaults = shlex.split(os.environ.get("SERVE_ARGS", ""))
except ValueError as error:
    sys.exit(f"SERVE_ARGS: {error}\nhint: quote its words as for a shell: SERVE_ARGS=\"--name 'two words'\"")
os.execvp(SERVER[0], [*SERVER, *defaults, *sys.argv[1:]])  # noqa: S606 - a shell would expand the words
