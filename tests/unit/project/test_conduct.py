"""Versions of checks and of rules: whoever changes what one does raises its version; prose moves nothing."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from pipeline.adapters.image_files.folder import Folder
from pipeline.model import (
    CHECK_VERSIONS,
    CHECKS,
    FIRST_CHECKS,
    FIRST_RULES,
    REHEARSAL_VERSIONS,
    REHEARSED,
    RULE_NAMES,
    RULE_VERSIONS,
    Expectations,
    versions,
)
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.survey import survey
from tests.conduct.digests import NO_PART, Conduct
from tests.conduct.sources import Definition
from tests.fuzz.parsing import watched
from tests.unit.stages.audit.audited_image import NOW
from tests.unit.stages.audit.audited_image import Image as AuditedImage

PACKAGE = Path(versions.FILE).parents[1]
DECLARED = json.loads(versions.FILE.read_text("utf-8"))
HERE = Conduct(PACKAGE)


@cache
def computed(kind: str) -> dict[str, str]:
    """The digest of each check, or of each family of rules, as the code is now."""
    return {"checks": HERE.checks, "rehearsal": HERE.rehearsal, "rules": HERE.rules}[kind]()


# -- what is declared -------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in DECLARED for name in DECLARED[kind]])
def test_what_it_does_is_what_its_version_stands_for(kind: str, name: str) -> None:
    row = DECLARED[kind][name]
    assert computed(kind)[name] == row["digest"], (
        f"{kind}: the code of {name} is not what stands beside its version {row['version']} in"
        f" {versions.FILE.relative_to(PACKAGE.parent)}\n"
        f"hint: if what it proves or finds has changed, raise that version;"
        " then, either way: python -m tests.conduct"
    )


def test_every_check_and_every_family_has_a_version() -> None:
    assert (set(CHECK_VERSIONS), set(RULE_VERSIONS)) == (set(CHECKS), set(RULE_NAMES))
    assert set(REHEARSAL_VERSIONS) == set(computed("rehearsal")) == set(REHEARSED)
    assert (set(computed("checks")), set(computed("rules"))) == (set(CHECKS), set(RULE_NAMES))


def test_what_was_there_on_the_first_day_is_still_there() -> None:
    """A check that was taken away would be asked for in vain."""
    assert (len(FIRST_CHECKS), len(FIRST_RULES)) == (12, 12)
    assert set(FIRST_CHECKS) <= set(CHECKS)
    assert set(FIRST_RULES) <= set(RULE_NAMES)


# -- what belongs to it -----------------------------------------------------------------------------


def modules_of(*names: str, rules: bool = False) -> set[str]:
    """The modules that these checks, or families of rules, come to."""
    roots = [one for name in names for one in (HERE.roots_of_family if rules else HERE.roots_of_check)(name)]
    met = HERE.met(roots, audit=rules)
    return {target.module.removeprefix("pipeline.") for target, tokens in met.items() if tokens}


def test_a_check_is_all_that_it_can_come_to() -> None:
    """What asks, what is asked inside the environment, and what runs both."""
    assert {
        "suite.checks.check_environment",
        "suite.conftest",
        "suite.probes.facts",
        "suite.serving",
        "suite.targets.process",
        "formats.gpu_arch",
    } <= modules_of("cuda")
    assert any(one.startswith("adapters.engine") for one in modules_of("cuda"))


def test_no_module_belongs_to_a_check_for_the_sake_of_a_neighbour() -> None:
    """Packages export a hundred names; the record, the gate and the registry decide nothing here."""
    found = modules_of(*CHECKS)
    assert not {one for one in found if one.startswith(("matrix", "report", "runner", "stages"))}
    assert not {"model.statements", "model.decisions", "adapters.registry.contents"} & found
    assert Definition("pipeline.model.records", "Record") not in HERE.met(HERE.roots_of_check("serve"))


def test_what_decides_which_code_and_which_driver_serve_a_gpu_belongs_to_the_rules() -> None:
    found = modules_of(*RULE_NAMES, rules=True)
    assert {"formats.gpu_arch", "formats.requirements", "compat.drivers", "compat.facts"} <= found
    assert {"stages.audit.survey", "adapters.image_files.tar", "formats.elf.reader"} <= found
    assert not {one for one in found if one.startswith(("adapters.registry", "adapters.engine", "suite"))}


def test_a_family_is_its_own_rules_and_what_all_stand_on() -> None:
    found = modules_of("jit", rules=True)
    rules = {one for one in found if one.startswith("stages.audit.rules.")}
    assert rules == {f"stages.audit.rules.{name}" for name in ("jit", "toolkit", "driver_folder")}


# -- both ways: the package as a whole ----------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package, to be changed at will."""
    return shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))


def change(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def of_check(folder: Path, name: str) -> str:
    conduct = Conduct(folder)
    return conduct.digest(conduct.roots_of_check(name))


def of_family(folder: Path, name: str) -> str:
    conduct = Conduct(folder)
    return conduct.digest(conduct.roots_of_family(name), audit=True)


def test_a_module_that_moves_moves_nothing(copy: Path) -> None:
    (copy / "formats" / "gpu_arch.py").rename(copy / "model" / "architectures.py")
    for path in copy.rglob("*.py"):
        moved = path.read_text("utf-8").replace("formats.gpu_arch", "model.architectures")
        path.write_text(moved, "utf-8")
    assert of_check(copy, "cuda") == computed("checks")["cuda"]
    assert of_family(copy, "device-code") == computed("rules")["device-code"]


def test_a_function_of_another_name_moves_nothing(copy: Path) -> None:
    for path in copy.rglob("*.py"):
        renamed = re.sub(r"\b(locate|_covers|last_line)\b", r"\1_as_others_say", path.read_text("utf-8"))
        path.write_text(renamed, "utf-8")
    assert of_check(copy, "cuda") == computed("checks")["cuda"]


def test_the_words_of_an_error_move_nothing(copy: Path) -> None:
    change(copy, "suite/model.py", "is neither a folder with", "is no folder with")
    change(copy, "suite/model.py", "download it first", "fetch it first")
    assert of_check(copy, "serve") == computed("checks")["serve"]


def test_what_a_check_says_it_saw_moves_it(copy: Path) -> None:
    """Records hold it."""
    change(copy, "suite/checks/check_server.py", '"streamed text"', '"its text"')
    assert of_check(copy, "stream") != computed("checks")["stream"]


def test_a_check_is_not_moved_by_another_of_its_file(copy: Path) -> None:
    change(copy, "suite/checks/check_hardened.py", "seconds = server.await_health()", "seconds = 0.0")
    assert of_check(copy, "shutdown") == computed("checks")["shutdown"]
    assert of_check(copy, "cache") != computed("checks")["cache"]


def test_a_deadline_moves_every_check(copy: Path) -> None:
    change(copy, "model/records.py", "answer_seconds: float = 60", "answer_seconds: float = 61")
    assert of_check(copy, "chat") != computed("checks")["chat"]


def test_the_fixtures_that_a_check_asks_for_move_it(copy: Path) -> None:
    """Pytest hands them over by the name of the parameter."""
    change(
        copy,
        "suite/checks/check_server.py",
        "check_limits(healthy_server: LiveServer)",
        "check_limits(trial_run: LiveServer)",
    )
    assert of_check(copy, "limits") != computed("checks")["limits"]


def test_a_helper_that_is_newly_imported_is_seen_and_so_is_what_it_does(copy: Path) -> None:
    helper = copy / "formats" / "helper.py"
    helper.write_text("LIMIT = 1\n\n\ndef helped(value):\n    return value < LIMIT\n", "utf-8")
    change(
        copy, "suite/expect.py", "import threading", "import threading\nfrom pipeline.formats import helper"
    )
    assert of_check(copy, "chat") == computed("checks")["chat"], "as long as nobody uses it"
    change(copy, "suite/expect.py", "    if not holds:", "    if not helper.helped(holds):")
    before = of_check(copy, "chat")
    assert before != computed("checks")["chat"]
    helper.write_text(helper.read_text("utf-8").replace("LIMIT = 1", "LIMIT = 2"), "utf-8")
    assert of_check(copy, "chat") != before


def test_a_probe_is_code_as_any_other(copy: Path) -> None:
    probe = copy / "suite" / "probes" / "facts.py"
    probe.write_text("# why\n" + probe.read_text("utf-8"), "utf-8")
    assert of_check(copy, "imports") == computed("checks")["imports"]
    probe.write_text(probe.read_text("utf-8") + "\nprint(1)\n", "utf-8")
    assert of_check(copy, "imports") != computed("checks")["imports"]


def test_golden_answers_count_and_how_they_are_laid_out_does_not(copy: Path) -> None:
    golden = copy / "suite" / "golden.json"
    answers = json.loads(golden.read_text("utf-8"))
    golden.write_text(json.dumps(answers, indent=8), "utf-8")
    assert of_check(copy, "correct") == computed("checks")["correct"]
    answers["answers"][0]["tokens"][0] += 1
    golden.write_text(json.dumps(answers), "utf-8")
    assert of_check(copy, "correct") != computed("checks")["correct"]


def test_facts_of_compatibility_and_versions_themselves_belong_to_no_rule(copy: Path) -> None:
    """A refresh voids no certificate; and nothing can name its own digest."""
    for path in (path for path in copy.rglob("*.json") if path.name in NO_PART):
        path.write_text("{}", "utf-8")
    assert of_family(copy, "driver-floor") == computed("rules")["driver-floor"]


def test_who_only_brings_bytes_belongs_to_no_rule_and_what_runs_the_image_to_every_check(copy: Path) -> None:
    (engine,) = (path for path in copy.rglob("*.py") if "\nclass Engine:\n" in path.read_text("utf-8"))
    change(engine.parent, engine.name, "\nclass Engine:\n", "\nclass Engine:\n    LIMIT = 1\n")
    client = copy / "adapters" / "registry" / "client.py"
    client.write_text(client.read_text("utf-8") + "\nLIMIT = 1\n", "utf-8")
    assert of_family(copy, "closure") == computed("rules")["closure"]
    assert of_check(copy, "serve") != computed("checks")["serve"]


def test_a_rule_is_not_moved_by_one_of_another_family(copy: Path) -> None:
    change(copy, "stages/audit/rules/budget.py", "GROWTH = 0.1", "GROWTH = 0.2")
    assert of_family(copy, "jit") == computed("rules")["jit"]
    assert of_family(copy, "budget") != computed("rules")["budget"]


def test_what_surveys_an_image_moves_every_family(copy: Path) -> None:
    change(copy, "stages/audit/survey.py", "16_000_000", "17_000_000")
    assert of_family(copy, "jit") != computed("rules")["jit"]


def test_whatever_runs_while_an_image_is_judged_was_followed(tmp_path: Path) -> None:
    """What code can come to is told from its text; here it is held against what it does come to."""
    site = tmp_path / "opt" / "venv" / "lib" / "python3.11" / "site-packages" / "a-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: a\nVersion: 1.0\n\n")
    (site / "RECORD").write_text("a-1.0.dist-info/METADATA,,\n")
    image = AuditedImage()
    with watched() as ran:
        image.judged()
        with Folder(tmp_path) as files:
            judge(survey(files), Expectations(), (), NOW)
    families = [root for name in RULE_NAMES for root in HERE.roots_of_family(name)]
    met = {(one.module, one.name) for one in HERE.met(families, audit=True) if isinstance(one, Definition)}
    followed = {f"{module}:{name}".removeprefix("pipeline.") for module, name in met}
    tops = {re.sub(r"(:[^.]+)\..*", r"\1", name) for name in ran}
    assert {one for one in tops if not one.endswith(":")} - followed == set()
