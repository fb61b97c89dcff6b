"""The workflows: nothing that a stranger or a moved tag could turn against us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    """A workflow with every scalar as text, so that the key ``on`` stays a word."""
    workflow: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    return workflow


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Every step of every job."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_is_one_workflow_each_for_the_code_the_facts_the_images_and_their_tags() -> None:
    """The tests below judge what is there; this one says what must be."""
    assert [path.name for path in WORKFLOWS] == ["audit.yml", "ci.yml", "facts.yml", "images.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestEachWorkflow:
    """What holds for every workflow."""

    def test_pins_each_action_by_its_whole_commit(self, path: Path) -> None:
        """A tag can be moved to other code; the comment says which release the commit is."""
        uses = re.findall(r"uses: (.*)", path.read_text())
        assert uses
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses)

    def test_keeps_no_credentials_in_the_checkout(self, path: Path) -> None:
        """The token must not lie in .git/config while tests and builds run."""
        checkouts = [s for s in steps(load(path)) if s.get("uses", "").startswith("actions/checkout@")]
        assert checkouts
        assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)

    def test_grants_nothing_that_a_job_does_not_name(self, path: Path) -> None:
        """Permissions are empty at the top, and each job says what it needs."""
        workflow = load(path)
        assert workflow["permissions"] == {}
        assert all("permissions" in job for job in workflow["jobs"].values())

    def test_puts_no_expression_into_a_shell(self, path: Path) -> None:
        """A value reaches a script through its environment, where it cannot become code."""
        assert not [step["run"] for step in steps(load(path)) if "${{" in step.get("run", "")]

    def test_does_the_work_through_the_projects_own_commands(self, path: Path) -> None:
        """No step holds logic: it calls ./run or a script of .ci, or logs in."""
        runs = [step["run"] for step in steps(load(path)) if "run" in step]
        assert all(re.search(r"(\./run |\.ci/(run|propose)|docker login )", run) for run in runs)
        assert all(len(run.splitlines()) <= 3 for run in runs)

    def test_ends_each_job_in_time(self, path: Path) -> None:
        """GitHub's own limit is six hours."""
        assert all(int(job["timeout-minutes"]) <= 180 for job in load(path)["jobs"].values())

    def test_never_gives_a_strangers_code_our_rights_or_machines(self, path: Path) -> None:
        """No pull_request_target; a pull request runs on a hosted machine, without write access."""
        workflow = load(path)
        assert "pull_request_target" not in workflow["on"]
        if "pull_request" in workflow["on"]:
            assert all(job["runs-on"] == "ubuntu-latest" for job in workflow["jobs"].values())
            assert all(job["permissions"] == {"contents": "read"} for job in workflow["jobs"].values())
            assert "secrets." not in path.read_text()


def test_ci_does_what_the_script_does() -> None:
    """The hosted run is ``.ci/run`` and nothing else."""
    assert [step["run"] for step in steps(load(FOLDER / "ci.yml")) if "run" in step] == [".ci/run"]


def test_the_key_reaches_only_the_steps_that_sign_or_ask_what_it_signed() -> None:
    """Of no job, and of no other step."""
    images = load(FOLDER / "images.yml")
    holders = [step["name"] for step in steps(images) if "TAGPROOF_KEY" in step.get("env", {})]
    asks = "List what was rehearsed and waits for a GPU"
    assert holders == ["Build and rehearse", "Verify", "Publish", asks, "Verify", "Publish"]
    assert (FOLDER / "images.yml").read_text().count("secrets.") == len(holders)


def test_an_audit_may_read_and_write_nothing() -> None:
    """Each day, with a table in the summary of its one job."""
    audit = load(FOLDER / "audit.yml")
    (job,) = audit["jobs"].values()
    assert job["permissions"] == {"contents": "read", "packages": "read"}
    assert "schedule" in audit["on"]
    assert "./run audit -- --markdown" in job["steps"][-1]["run"]


def test_a_job_with_a_gpu_starts_only_on_what_was_rehearsed() -> None:
    """Its rows are those of a plan that was made after every image was built and rehearsed without one."""
    jobs = load(FOLDER / "images.yml")["jobs"]
    commands = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert (jobs["image"]["needs"], jobs["rehearsed"]["needs"]) == ("plan", "image")
    assert jobs["gpu"]["needs"] == "rehearsed"
    assert jobs["gpu"]["strategy"]["matrix"] == "${{ fromJSON(needs.rehearsed.outputs.matrix) }}"
    assert "--github=build" in commands["plan"]
    assert "--github=prove" in commands["rehearsed"]
    assert "./run build" in commands["image"]
    assert "./run build" not in commands["gpu"]


def test_new_facts_are_proposed_and_never_merged() -> None:
    """A person reads what a release changed; only the last step holds the token."""
    script = (FOLDER.parents[1] / ".ci" / "propose").read_text()
    assert "gh pr create" in script
    assert "gh pr merge" not in script
    holders = [
        step["name"] for step in steps(load(FOLDER / "facts.yml")) if "GH_TOKEN" in step.get("env", {})
    ]
    assert holders == ["Propose what changed"]
