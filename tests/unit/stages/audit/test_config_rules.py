"""Sabotage of how an image is started, by whom, with which environment, and of the secrets in it."""

from __future__ import annotations

from functools import partial

import pytest

from tests.unit.stages.audit.audited_image import Image
from tests.unit.stages.audit.sabotage import ERROR, NOTE, WARNING, Case, add_case, assert_only_its_rule_finds

CASES: list[Case] = []
breaks = partial(add_case, CASES)


@breaks("config", WARNING, "LD_PRELOAD names /usr/lib/libodd.so, which is not there")
def a_library_is_pushed_into_every_process(image: Image) -> None:
    image.env["LD_PRELOAD"] = "/usr/lib/libodd.so"


@breaks("config", WARNING, "it loads /odd.so into every process")
def the_loader_is_told_to_do_so_by_file(image: Image) -> None:
    image.file("/etc/ld.so.preload", text="/odd.so\n")


@breaks("config", WARNING, "neither an entrypoint nor a command is set")
def nothing_is_started(image: Image) -> None:
    image.entrypoint = ()


@breaks("config", ERROR, "the image starts /usr/local/bin/serve, which is not there")
def what_is_started_is_missing(image: Image) -> None:
    del image.nodes["/usr/local/bin/serve"]


@breaks("config", ERROR, "which is not executable")
def what_is_started_is_no_program(image: Image) -> None:
    image.file("/usr/local/bin/serve", mode=0o644)


@breaks("config", ERROR, "user 1000:0 cannot get to Python's packages through it")
def the_user_may_not_enter_the_environment(image: Image) -> None:
    image.folder("/opt/venv/lib", mode=0o700)


@breaks("config", NOTE, "only root gets to Python's packages through it")
def only_root_can_run_it(image: Image) -> None:
    image.user = ""
    image.folder("/opt/venv/lib", mode=0o700)


@breaks("config", WARNING, "HOME is not writable for user 1000:0")
def home_belongs_to_somebody_else(image: Image) -> None:
    image.folder("/home/app", uid=0)


@breaks("config", WARNING, "it is writable by everyone, and it is on PATH")
def a_folder_of_programs_is_open_to_all(image: Image) -> None:
    image.folder("/usr/local/bin", mode=0o777)


@breaks("config", ERROR, "CUDA_VISIBLE_DEVICES is set to ''")
def all_gpus_are_hidden(image: Image) -> None:
    image.env["CUDA_VISIBLE_DEVICES"] = ""


@breaks("config", WARNING, "CUDA_VISIBLE_DEVICES is set to '0'")
def all_gpus_but_one_are_hidden(image: Image) -> None:
    image.env["CUDA_VISIBLE_DEVICES"] = "0"


@breaks("config", ERROR, "NVIDIA_VISIBLE_DEVICES is set to 'none'")
def the_container_toolkit_is_told_to_give_none(image: Image) -> None:
    image.env["NVIDIA_VISIBLE_DEVICES"] = "none"


@breaks("config", ERROR, "without compute")
def the_container_toolkit_is_told_to_leave_cuda_out(image: Image) -> None:
    image.env["NVIDIA_DRIVER_CAPABILITIES"] = "utility"


@breaks("config", WARNING, "CUDA_LAUNCH_BLOCKING is set")
def a_setting_for_debugging_was_left_in(image: Image) -> None:
    image.env["CUDA_LAUNCH_BLOCKING"] = "1"


@breaks("config", ERROR, "the environment variable HF_TOKEN holds a Hugging Face token")
def a_token_is_in_the_environment(image: Image) -> None:
    image.env["HF_TOKEN"] = "hf_" + "aB" * 17


@breaks("config", WARNING, "the environment variable DB_PASSWORD is set, and named like a secret")
def a_variable_is_named_like_a_secret(image: Image) -> None:
    image.env |= {"DB_PASSWORD": "correct horse"}


@breaks("config", ERROR, "step 2 of the image's history holds a password in an address")
def a_password_is_in_the_history(image: Image) -> None:
    image.history = (
        "COPY . .",
        "RUN pip install --index-url https://me:s3cret@packages.example.org/simple x",
    )


@breaks("config", ERROR, "it holds a private key")
def a_private_key_is_in_a_file(image: Image) -> None:
    image.file("/root/.ssh/id_ed25519", text="-----BEGIN OPENSSH " + "PRIVATE KEY-----\n")


@breaks("config", ERROR, "it holds a registry's password")
def the_password_of_a_registry_is_in_a_file(image: Image) -> None:
    image.file("/root/.docker/config.json", text='{"auths": {"r.example.org": {"auth": "bWU6czNjcmV0"}}}')


@breaks("config", WARNING, "that every container of this image shares")
def every_container_has_the_same_host_key(image: Image) -> None:
    image.file("/etc/ssh/ssh_host_rsa_key", text="-----BEGIN OPENSSH " + "PRIVATE KEY-----\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def test_a_finding_does_not_spread_the_secret_that_it_found() -> None:
    image, secret = Image(), "hf_" + "aB" * 17
    image.env["HF_TOKEN"] = secret
    assert secret not in image.judged().model_dump_json()
