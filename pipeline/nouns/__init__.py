"""Every type of the pipeline, in the order in which data flows.

    matrix.yaml -> Matrix -> Spec (one Cell and what the matrix says of it) -> Lock -> Image
                -> Certificate (what its files say)
                -> Trial (what the suite is given) -> Check... -> Record -> Proof -> Decision -> Publication
                -> Status (what plan and report tell)

One file for each step of that way. Nothing here imports anything of ours from elsewhere. What is read
back from files or a registry is a pydantic model, because a stranger may have written it; all else is
a frozen dataclass.
"""

from pipeline.nouns.cells import (
    Base,
    Budget,
    Cell,
    Matrix,
    Policy,
    Pruned,
    Reasoned,
    Spec,
    Waiver,
)
from pipeline.nouns.certificates import (
    RULE_NAMES,
    Certificate,
    DriverFloor,
    GpuReach,
    ImageFinding,
    LayerSize,
    LibraryReach,
    PackageSize,
    Reach,
    RuleName,
    Severity,
    Sizes,
    Told,
    WaivedFinding,
)
from pipeline.nouns.decisions import Decision, Publication, Reason
from pipeline.nouns.frozen import LONGEST, Frozen, Key, Sha, Short
from pipeline.nouns.hashes import canonical, key_of
from pipeline.nouns.json_forms import plain
from pipeline.nouns.locks import Image, Lock, Pin
from pipeline.nouns.names import LOOPBACK, PROJECT, RUN_LABEL, VARIANT_INDEX
from pipeline.nouns.records import (
    CHECKS,
    Check,
    CheckName,
    Expected,
    Host,
    ImageTarget,
    Outcome,
    PythonTarget,
    Record,
    Result,
    Trial,
    checks_of,
)
from pipeline.nouns.references import Digest, ImageRef, Repository, TagRef
from pipeline.nouns.shown import shown, shown_json, shown_lines
from pipeline.nouns.statements import Beside, Certified, Links, Proof
from pipeline.nouns.status import Estimate, Observed, Stage, State, Status
from pipeline.nouns.verdicts import Conditions, Finding, Level, Verdict

__all__ = [
    "CHECKS",
    "LONGEST",
    "LOOPBACK",
    "PROJECT",
    "RULE_NAMES",
    "RUN_LABEL",
    "VARIANT_INDEX",
    "Base",
    "Beside",
    "Budget",
    "Cell",
    "Certificate",
    "Certified",
    "Check",
    "CheckName",
    "Conditions",
    "Decision",
    "Digest",
    "DriverFloor",
    "Estimate",
    "Expected",
    "Finding",
    "Frozen",
    "GpuReach",
    "Host",
    "Image",
    "ImageFinding",
    "ImageRef",
    "ImageTarget",
    "Key",
    "LayerSize",
    "Level",
    "LibraryReach",
    "Links",
    "Lock",
    "Matrix",
    "Observed",
    "Outcome",
    "PackageSize",
    "Pin",
    "Policy",
    "Proof",
    "Pruned",
    "Publication",
    "PythonTarget",
    "Reach",
    "Reason",
    "Reasoned",
    "Record",
    "Repository",
    "Result",
    "RuleName",
    "Severity",
    "Sha",
    "Short",
    "Sizes",
    "Spec",
    "Stage",
    "State",
    "Status",
    "TagRef",
    "Told",
    "Trial",
    "Verdict",
    "WaivedFinding",
    "Waiver",
    "canonical",
    "checks_of",
    "key_of",
    "plain",
    "shown",
    "shown_json",
    "shown_lines",
]
