"""Every type of the pipeline, in the order in which data flows.

    matrix.yaml -> Matrix -> Spec (one Cell and its settings) -> Lock -> Image
                -> Certificate (of its files)
                -> Rehearsal (what was seen without a GPU)
                -> Trial (input of the suite) -> Check... -> Record -> Proof -> Decision -> Publication
                -> Status (a row of plan and report)

One file for each step. Nothing here imports other folders of ours. Values that are read back from files or a
registry are pydantic models, because they may come from anyone; all others are frozen dataclasses.
"""

from pipeline.model.audited import Audited, Judgement
from pipeline.model.basis import Basis
from pipeline.model.cells import (
    KINDS,
    Base,
    Budget,
    Cell,
    Cooldown,
    JustifiedRequirement,
    Kind,
    Matrix,
    Pruned,
    Spec,
    Support,
    Trim,
    Waiver,
)
from pipeline.model.certificates import (
    Certificate,
    DriverFloor,
    GpuReach,
    ImageFinding,
    ImageReach,
    LayerSize,
    LibraryReach,
    PackageSize,
    Reach,
    Severity,
    Sizes,
    UntrustedText,
    WaivedFinding,
)
from pipeline.model.decisions import Acceptance, Decision, Publication, Retraction
from pipeline.model.deployments import Deployment, DeploymentRecord
from pipeline.model.differences import Change, Described, Difference
from pipeline.model.expectations import Expectations
from pipeline.model.freezes import Freeze
from pipeline.model.frozen import MAX_TEXT_LENGTH, BoundedText, Frozen, Key, Sha
from pipeline.model.gpu_days import PARTS, GpuDay, Part, PartName
from pipeline.model.hashes import canonical, key_of
from pipeline.model.histories import History
from pipeline.model.json_forms import to_json
from pipeline.model.locks import Cooled, Image, Lock, Pin
from pipeline.model.names import LOOPBACK, PROJECT, RUN_LABEL, VARIANT_INDEX, VLLM_INDEX, index_of, project_of
from pipeline.model.policies import Policy, Presence, Signer
from pipeline.model.reasons import Reason, ReasonCode
from pipeline.model.records import (
    ANSWERS,
    CHECKS,
    KEPT,
    MAX_ATTEMPTS,
    MAX_FACTS,
    OPTIONAL,
    Attempt,
    Check,
    CheckName,
    Host,
    ImageTarget,
    Outcome,
    Parent,
    PythonTarget,
    Record,
    Result,
    Trial,
    checks_of,
    checks_of_kind,
    versions_of,
)
from pipeline.model.references import Digest, ImageRef, Repository, TagRef
from pipeline.model.rehearsals import (
    REHEARSED,
    Rehearsal,
    RehearsedName,
    rehearsal_versions_of,
    rehearsed_checks_of,
)
from pipeline.model.replays import Replay, Replayed, replayed
from pipeline.model.retention import Retention, Staged
from pipeline.model.rule_families import RULE_FAMILIES, RULE_NAMES, RuleFamily, RuleName
from pipeline.model.scopes import Scope, certifies
from pipeline.model.shown import shown, shown_json, shown_lines
from pipeline.model.statements import (
    Attestations,
    Certified,
    Declared,
    Links,
    Proof,
    Rehearsed,
    Statement,
)
from pipeline.model.status import CellState, Estimate, Goal, Stage, State, Status
from pipeline.model.tags import is_build_key, is_immutable, signed_digest
from pipeline.model.transitions import Life, TagMove, Transition
from pipeline.model.user_tests import USER_TEST, is_users, leaving_out
from pipeline.model.verdicts import Conditions, Finding, Level, Verdict
from pipeline.model.versions import (
    CHECK_VERSIONS,
    FIRST,
    FIRST_CHECKS,
    FIRST_RULES,
    REHEARSAL_VERSIONS,
    RULE_VERSIONS,
    version_of,
)

__all__ = [
    "ANSWERS",
    "CHECKS",
    "CHECK_VERSIONS",
    "FIRST",
    "FIRST_CHECKS",
    "FIRST_RULES",
    "KEPT",
    "KINDS",
    "LOOPBACK",
    "MAX_ATTEMPTS",
    "MAX_FACTS",
    "MAX_TEXT_LENGTH",
    "OPTIONAL",
    "PARTS",
    "PROJECT",
    "REHEARSAL_VERSIONS",
    "REHEARSED",
    "RULE_FAMILIES",
    "RULE_NAMES",
    "RULE_VERSIONS",
    "RUN_LABEL",
    "USER_TEST",
    "VARIANT_INDEX",
    "VLLM_INDEX",
    "Acceptance",
    "Attempt",
    "Attestations",
    "Audited",
    "Base",
    "Basis",
    "BoundedText",
    "Budget",
    "Cell",
    "CellState",
    "Certificate",
    "Certified",
    "Change",
    "Check",
    "CheckName",
    "Conditions",
    "Cooldown",
    "Cooled",
    "Decision",
    "Declared",
    "Deployment",
    "DeploymentRecord",
    "Described",
    "Difference",
    "Digest",
    "DriverFloor",
    "Estimate",
    "Expectations",
    "Finding",
    "Freeze",
    "Frozen",
    "Goal",
    "GpuDay",
    "GpuReach",
    "History",
    "Host",
    "Image",
    "ImageFinding",
    "ImageReach",
    "ImageRef",
    "ImageTarget",
    "Judgement",
    "JustifiedRequirement",
    "Key",
    "Kind",
    "LayerSize",
    "Level",
    "LibraryReach",
    "Life",
    "Links",
    "Lock",
    "Matrix",
    "Outcome",
    "PackageSize",
    "Parent",
    "Part",
    "PartName",
    "Pin",
    "Policy",
    "Presence",
    "Proof",
    "Pruned",
    "Publication",
    "PythonTarget",
    "Reach",
    "Reason",
    "ReasonCode",
    "Record",
    "Rehearsal",
    "Rehearsed",
    "RehearsedName",
    "Replay",
    "Replayed",
    "Repository",
    "Result",
    "Retention",
    "Retraction",
    "RuleFamily",
    "RuleName",
    "Scope",
    "Severity",
    "Sha",
    "Signer",
    "Sizes",
    "Spec",
    "Stage",
    "Staged",
    "State",
    "Statement",
    "Status",
    "Support",
    "TagMove",
    "TagRef",
    "Transition",
    "Trial",
    "Trim",
    "UntrustedText",
    "Verdict",
    "WaivedFinding",
    "Waiver",
    "canonical",
    "certifies",
    "checks_of",
    "checks_of_kind",
    "index_of",
    "is_build_key",
    "is_immutable",
    "is_users",
    "key_of",
    "leaving_out",
    "project_of",
    "rehearsal_versions_of",
    "rehearsed_checks_of",
    "replayed",
    "shown",
    "shown_json",
    "shown_lines",
    "signed_digest",
    "to_json",
    "version_of",
    "versions_of",
]
