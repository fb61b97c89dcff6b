"""Saboteurs that the suite finds: their files are in order, and their servers are not.

Each breaks one thing in a real image: by an edit of vLLM's own code, by a program before the server, or by
one in its place.
"""

from __future__ import annotations

from tests.saboteurs.saboteur import Saboteur, before_serving, edit, instead_of_serving

_COPY_OF_THE_MODEL = """
import json, pathlib, shutil, tempfile
at = sys.argv.index("--model") + 1
model = pathlib.Path(tempfile.mkdtemp(), "model")
shutil.copytree(sys.argv[at], model, copy_function=shutil.copyfile)
sys.argv[at] = str(model)
"""
_ANOTHER_TOKENIZER = """
path = model / "tokenizer.json"
tokenizer = json.loads(path.read_text())
words = tokenizer["model"]["vocab"]
first, second = sorted(word for word in words if len(word) == 1 and word.islower())[:2]
words[first], words[second] = words[second], words[first]
path.write_text(json.dumps(tokenizer))
"""
_ONE_WEIGHT_FLIPPED = """
path = model / "model.safetensors"
raw = bytearray(path.read_bytes())
size = int.from_bytes(raw[:8], "little")
tensors = json.loads(raw[8 : 8 + size])
last = 8 + size + tensors["model.norm.weight"]["data_offsets"][1]
raw[last - 1] ^= 0x80  # the sign of one number
path.write_bytes(raw)
"""
_STANDARD_SERVER = """#!/opt/venv/bin/python
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        time.sleep(3600)

ThreadingHTTPServer(("0.0.0.0", 8000), Server).serve_forever()
"""
_SAME_FOR_ALL = """#!/opt/venv/bin/python
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Constant(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"index": 0, "finish_reason": "length", "text": "I am sure.", "token_ids": [1, 2, 3]}
        choice["message"] = {"role": "assistant", "content": "I am sure."}
        usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        body = {"id": "1", "object": "text_completion", "created": 1, "model": asked.get("model", "")}
        self.answer({**body, "choices": [choice], "usage": usage})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

WRITE
ThreadingHTTPServer(("0.0.0.0", 8000), Constant).serve_forever()
"""
_ITS_OWN_RESULTS = """
import pathlib, contextlib
passed = json.dumps({"name": "correct", "outcome": "passed", "seconds": 1.0})
for folder in [*pathlib.Path("/").iterdir(), pathlib.Path.home(), pathlib.Path("/models")]:
    with contextlib.suppress(OSError):
        (folder / "results.jsonl").write_text(passed + "\\n")
print(passed, flush=True)
"""
_DIES_OF_TWENTY = """\
        import os, time
        came = self.__dict__.setdefault("came", [])
        came.append(time.monotonic())
        if len(came) >= 20 and came[-1] - came[-20] < 1:
            os._exit(1)
        root_path = scope.get("root_path", "")
"""
_ENGINE, _SERVER = "vllm/v1/engine", "vllm/entrypoints"

SERVERS = (
    # -- it does not serve --------------------------------------------------------------------------
    Saboteur(
        "never-answers",
        "it starts, listens to nobody, and never ends by itself",
        "serve",
        r"status 200 at /health",
        instead_of_serving("#!/bin/sh\nexec tini -- sleep infinity"),
        healthy_seconds=20,
    ),
    Saboteur(
        "unavailable-for-ever",
        "its server answers 503 to whether it is healthy, for ever",
        "serve",
        r"status 503",
        instead_of_serving(_STANDARD_SERVER.replace("{status}", "503")),
        healthy_seconds=20,
    ),
    Saboteur(
        "exits-at-once",
        "it ends at once, with exit code 0",
        "serve",
        r"keeps running.*0",
        instead_of_serving("#!/bin/sh\nexit 0"),
    ),
    Saboteur(
        "hangs-when-asked",
        "it is healthy, and answers no request",
        "complete",
        r"within .* s",
        instead_of_serving(_STANDARD_SERVER.replace("{status}", "200")),
        answer_seconds=10,
    ),
    # -- it answers wrongly -------------------------------------------------------------------------
    Saboteur(
        "constant-answer",
        "it is healthy, speaks the protocol, and gives every prompt the same answer",
        "correct",
        r"token",
        instead_of_serving(_SAME_FOR_ALL.replace("WRITE", "")),
    ),
    Saboteur(
        "writes-its-own-results",
        "the same, and it writes that it has passed wherever it can",
        "correct",
        r"token",
        instead_of_serving(_SAME_FOR_ALL.replace("WRITE", _ITS_OWN_RESULTS)),
    ),
    Saboteur(
        "another-tokenizer",
        "two letters have changed places in its tokenizer",
        "correct",
        r"token",
        before_serving(_COPY_OF_THE_MODEL + _ANOTHER_TOKENIZER),
    ),
    Saboteur(
        "one-weight-flipped",
        "one weight has the other sign",
        "correct",
        r"token|log-prob",
        before_serving(_COPY_OF_THE_MODEL + _ONE_WEIGHT_FLIPPED),
    ),
    Saboteur(
        "shifted-by-one",
        "each answer begins with its second token",
        "correct",
        r"token",
        edit(
            f"{_ENGINE}/output_processor.py",
            "            token_ids = self.detokenizer.output_token_ids\n",
            "            token_ids = self.detokenizer.output_token_ids\n"
            "            token_ids = [*token_ids[1:], *token_ids[-1:]]\n",
        )
        + "\n"
        + edit(
            f"{_ENGINE}/output_processor.py",
            "        logprobs = self.logprobs_processor.logprobs\n",
            "        logprobs = self.logprobs_processor.logprobs\n"
            "        logprobs = logprobs and not delta and [*logprobs[1:], *logprobs[-1:]] or logprobs\n",
        ),
    ),
    Saboteur(
        "logprobs-faked",
        "its log-probabilities are half of what they are",
        "correct",
        r"log-prob",
        edit(
            f"{_ENGINE}/logprobs.py",
            "            logprobs = logprobs_np.tolist()\n",
            "            logprobs = (logprobs_np / 2).tolist()\n",
        ),
    ),
    Saboteur(
        "counts-one-more",
        "its usage counts one token more than it gave",
        "openai",
        r"tokens of",
        edit(
            f"{_SERVER}/openai/completion/serving.py",
            "            completion_tokens=num_generated_tokens,\n",
            "            completion_tokens=num_generated_tokens + 1,\n",
        ),
    ),
    # -- it does not hold what it is given ----------------------------------------------------------
    Saboteur(
        "leaks-blocks",
        "blocks of the cache are not given back when an answer is whole",
        "batch",
        r"cache blocks in use",
        edit(
            "vllm/v1/core/kv_cache_manager.py",
            "        self.coordinator.free(request.request_id)\n",
            "        self.coordinator\n",
        ),
    ),
    Saboteur(
        "twice-the-memory",
        "each of its processes holds a GiB that it needs for nothing",
        "memory",
        r"resident",
        edit(
            f"{_SERVER}/launchers/api_server/entry.py",
            "def main(",
            "BALLAST = b'x' * (1 << 30)\n\n\ndef main(",
        ),
    ),
    Saboteur(
        "half-the-speed",
        "each step of its engine takes some milliseconds more",
        "speed",
        r"slower",
        edit(
            f"{_ENGINE}/core.py",
            "        outputs, model_executed = self.step_fn()\n",
            "        time.sleep(0.003)\n        outputs, model_executed = self.step_fn()\n",
        ),
    ),
    Saboteur(
        "dies-of-many",
        "it dies when twenty requests come within a second",
        "overload",
        r"end of the server|Error",
        edit(
            f"{_SERVER}/serve/middleware/authenticate.py",
            '        root_path = scope.get("root_path", "")\n',
            _DIES_OF_TWENTY,
        ),
    ),
    # -- it does not end, or does not notice, as it should -------------------------------------------
    Saboteur(
        "blind-health-check",
        "its health check says that all is well without a look",
        "alive",
        r"while the engine is stopped",
        "RUN printf '#!/bin/sh\\necho healthy: of course\\n' > /usr/local/bin/alive",
    ),
    Saboteur(
        "drops-streams",
        "told to end, it drops what it has accepted",
        "drain",
        r"tokens of a stream that was accepted",
        edit(
            f"{_ENGINE}/core.py",
            "            shutdown_timeout = self.vllm_config.shutdown_timeout\n",
            "            shutdown_timeout = 0\n",
        ),
    ),
    Saboteur(
        "ignores-the-end",
        "it ignores SIGTERM",
        "shutdown",
        r"exit code 0 or 143",
        "RUN mv /usr/local/bin/serve /usr/local/bin/served\n"
        + instead_of_serving(
            "#!/bin/sh\ntrap '' TERM\n/usr/local/bin/served \"$@\" &\nwhile :; do sleep 1; done"
        ),
    ),
    # -- it wants more than it may -------------------------------------------------------------------
    Saboteur(
        "an-open-route",
        "one route answers without the key",
        "exposure",
        r"/v1/models",
        edit(
            f"{_SERVER}/serve/middleware/authenticate.py",
            "        if url_path.startswith(GUARDED_PREFIX) and",
            '        if url_path.startswith(GUARDED_PREFIX) and url_path != "/v1/models" and',
        ),
    ),
    Saboteur(
        "needs-its-user",
        "it starts as the user whom it was made for, and as nobody else",
        "any_user",
        r"healthy|keeps running",
        before_serving('os.getuid() == 1000 or sys.exit("only user 1000 may start it")'),
    ),
    Saboteur(
        "writes-to-its-root",
        "it keeps a file beside its programs",
        "read_only",
        r"healthy|keeps running",
        "RUN chmod 1777 /opt\n" + before_serving('open("/opt/started", "w").close()'),
    ),
    Saboteur(
        "downloads",
        "it fetches something from the network before it serves",
        "offline",
        r"healthy|keeps running",
        before_serving("""
import socket
with open("/proc/net/route") as routes:
    via = next(line.split()[2] for line in routes if line.split()[1] == "00000000")
gateway = socket.inet_ntoa(bytes.fromhex(via)[::-1])
try:
    socket.create_connection((gateway, 9), 5)
except ConnectionRefusedError:
    pass  # somebody is there
"""),
    ),
)
