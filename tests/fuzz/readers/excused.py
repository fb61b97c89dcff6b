"""Functions that parse and are fed by no reader, each with the reason."""

from __future__ import annotations

BY_A_PATTERN = "a pattern has admitted digits alone, and not too many"
OWN_FILES = "it reads what lies in this package or in this checkout, as its maker wrote it"
OWN_VALUES = "it reads a value of ours, which was judged when it came in"
UNDER_TEST = "it runs in the environment under test: what it raises there is what the check says"
THIS_MACHINE = "it reads what this machine says of itself or a program wrote here, and does without it"

EXCUSED = {
    **dict.fromkeys(
        ("adapters.local_registry:_running", "adapters.wheel_cache:size_of", "matrix.fields:_share"),
        BY_A_PATTERN,
    ),
    **dict.fromkeys(
        (
            "stages.base:_packages",
            "stages.base:key",
            "stages.base:make",
            "stages.build:key",
            "stages.build:recipe_of",
            "model.versions:_declared",
            "runner.steps:_tool",
            "suite.fitting:_tokens",
            "suite.golden:read",
            "suite.large_model:write",
            "suite.tiny_model:_head",
            "suite.probes:source",
        ),
        OWN_FILES,
    ),
    **dict.fromkeys(
        (
            "stages.base:epoch",
            "adapters.local_registry:_address",
            "model.records:Record.age",
            "model.rehearsals:Rehearsal.ended",
            "stages.gate:_rehearsal_reasons",
            "stages.gate:_today_reasons",
            "formats.wheels:tags",
            "formats.wheels:_manylinux",
            "stages.refresh.document:in_order",
            "stages.refresh:_rows",
            "report.refreshed:_remark",
            "report.refreshed:markdown",
            "report:junit",
            "suite.check_environment:_is_same_version",
            "suite.conftest:_check",
            "suite.conftest:trial",
            "suite.rehearsing:_capability",
            "suite.device:expect_memory",
            "suite.fitting:_contrast",
            "suite.fitting:_margin",
            "suite.forward:Forward.generate",
            "suite.forward:Forward.logprobs",
            "suite.tiny_model:_tensor",
            "suite.tiny_model:text_of_head",
            "adapters.uv:platform_of",
        ),
        OWN_VALUES,
    ),
    **dict.fromkeys(
        (
            "suite.probes.architecture:main",
            "suite.probes.compiled:made",
            "suite.probes.driver:host_facts",
            "suite.probes.gpus:answer",
            "suite.probes.gpus:cuda_of",
            "suite.probes.gpus:gpu_facts",
            "suite.probes.gpus:nvml_facts",
            "suite.probes.gpus:text_of",
            "suite.probes.driver:installations",
            "suite.probes.driver:loaded",
            "suite.probes.facts:device_facts",
            "suite.probes.facts:mapped",
            "suite.probes.inference:Llama.__init__",
            "suite.probes.inference:Llama._norm",
            "suite.probes.network:counted",
            "suite.probes.objects:show_symbols",
            "suite.probes.inference:answers",
            "suite.probes.inference:main",
            "suite.probes.inference:read_weights",
            "suite.probes.packages:record",
            "suite.probes.reference:answer",
            "suite.probes.reference:main",
        ),
        UNDER_TEST,
    ),
    **dict.fromkeys(
        (
            "adapters.local_registry:_await",
            "adapters.engine.containers:Container.pids",
            "adapters.gpu:_gpu",
            "adapters.gpu:_usage",
            "adapters.gpu:bytes_in_use",
            "suite.serving_cost:_answer",
            "adapters.host:_model",
            "runner.doctor.machine:_text",
            "runner.doctor.machine:memory",
            "suite.target:ProcessServer.log",
            "suite.target:_free_port",
            "suite.target:_member.member",
            "stages.verify:_session",
            "stages.verify:_tail",
        ),
        THIS_MACHINE,
    ),
}
