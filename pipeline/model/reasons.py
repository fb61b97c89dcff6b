"""Why something is refused, or could not be found out: a code, a sentence and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class ReasonCode(StrEnum):
    """Every code of a Reason, and when it is given; ``docs/reasons.md`` is made from it.

    ``--json`` prints codes, so one never changes, and one that is gone is never used again.
    """

    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Self:
        """One code, told apart from others by its text alone."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # The gate, about the image.
    UNKNOWN_CELL = "unknown-cell", "The image says that it is a cell that this matrix does not have."
    OTHER_CELL = "other-cell", "The image, or its record, is of another cell."
    OTHER_BUILD = (
        "other-build",
        "The image is not what today's lock, recipe and base give, or its record is of another build.",
    )
    OTHER_DIGEST = "other-digest", "The record is about another image."
    OTHER_REPOSITORY = "other-repository", "The record was made for another repository."

    # The gate, about the certificate.
    NO_CERTIFICATE = (
        "no-certificate",
        "No certificate of this image counts: by the signers, rules, exceptions and expectations of today.",
    )
    CERTIFICATE_REFUSED = "certificate-refused", "The certificate has an error."
    EXCEPTION_ENDED = (
        "exception-ended",
        "An exception of the matrix by which a finding was waived has expired.",
    )

    # The gate, about the rehearsal.
    REHEARSAL_FAILED = (
        "rehearsal-failed",
        "Something failed that needs no GPU, and no rehearsal or proof since then passed.",
    )

    # The gate, about the scan for known weaknesses.
    NO_SCAN = (
        "no-scan",
        "The policy asks for a scan, and no trusted key signed one that is new enough and of all packages.",
    )
    WEAKNESS = "weakness", "The newest scan tells of a weakness that the policy does not accept."

    # The gate, about the record.
    NO_PROOF = "no-proof", "No trusted key has signed a record of this image."
    NOT_PASSED = "not-passed", "The record as a whole says FAILED."
    CHECK_FAILED = "check-failed", "The record names checks that failed."
    REQUIRED_MISSING = (
        "required-missing",
        "A check that the policy requires did not pass: it failed, was skipped, or is not in the record.",
    )
    OTHER_HARDWARE = "other-hardware", "A CUDA cell was tested without a GPU."
    FLAKY = (
        "flaky",
        "The image passed after it had failed with nothing changed, and the policy does not accept that.",
    )
    STATEMENT_MISSING = (
        "statement-missing",
        "An attestation that others name is gone; it may have been a failure.",
    )
    OLD_CHECK = "old-check", "A check is of an older version than `at_least:` of the policy requires."
    OTHER_MODEL = "other-model", "The record is by another test model than today's."
    OTHER_TESTS = (
        "other-tests",
        "The record was made with other tests of the user's, or other prompts, than there are today.",
    )
    STALE = "stale", "The record is older than the policy allows."
    FROM_THE_FUTURE = "from-the-future", "The record is dated later than this machine's clock."
    SLOWER = (
        "slower",
        "The image is slower than the one that it replaces, by more than `verify: speed:` allows.",
    )
    SUPERSEDED = "superseded", "The same image failed later."

    # The gate, about the life of the digest.
    YANKED = "yanked", "The digest was yanked: no gate allows it again."
    MOVED_BACK = (
        "moved-back",
        "A tag was moved back from the digest, and it has not been proven again since then.",
    )

    SUPPORT_ENDED = "support-ended", "The matrix gives the cell no new tag any more: `support:` ended."

    # The gate before a deployment, by a policy alone.
    NO_IMAGE = "no-image", "The registry has no such tag or digest."
    REPOSITORY_UNNAMED = (
        "repository-unnamed",
        "The image, or its proof, is of a repository that the policy does not name.",
    )
    UNPUBLISHED = "unpublished", "No tag of a publication names the image, and the policy asks for one there."
    ARCHITECTURE_UNPROVEN = (
        "architecture-unproven",
        "No proof that the policy accepts was made on a GPU of an architecture that it asks for.",
    )
    ATTEMPTS = "attempts", "It passed after more attempts than the policy allows."
    UNKNOWN_KIND = "unknown-kind", "The proof is of a cell that this version cannot read."

    # Attestations that count for nothing.
    RECORD_MALFORMED = "record-malformed", "The bundle cannot be read, or contradicts itself."
    RECORD_MISSING = "record-missing", "The referrer is listed but not in the registry."
    RECORD_SUBJECT = "record-subject", "It is about another image than the one it is attached to."
    RECORD_TYPE = "record-type", "It is a statement or a predicate of a type that is not ours."
    RECORD_UNTRUSTED = "record-untrusted", "No trusted key has signed it."
    RECORD_OUT_OF_TERM = "record-out-of-term", "Its signer's key did not count on the day of the statement."
    LIST_FOREIGN = "list-foreign", "The tag under which a list of referrers belongs holds something else."

    # Publication, and the tags in the destination.
    NOT_ALLOWED = "not-allowed", "The gate does not allow a tag."
    LAYER_TOO_LARGE = "layer-too-large", "The registry is known to refuse layers of that size."
    FROZEN = "frozen", "The matrix gives no tags on this day or at this hour: `publish: freeze:`."
    TAG_FIXED = "tag-fixed", "A channel names another image, and `publish.moves` is `never`."
    TAG_IMMUTABLE = "tag-immutable", "The immutable tag of these inputs names another proven image."
    TAG_LEFT = "tag-left", "A tag that should go is still there, because the registry removes no tags."
    TAG_MOVED = "tag-moved", "The immutable tag of these inputs was moved to something that is not proven."
    TAG_NEWER = "tag-newer", "The destination has an image of the cell with a newer proof."
    LAYER_MISSING = "layer-missing", "The registry has a manifest without all of its layers."
    TAG_UNTOLD = "tag-untold", "A tag was moved, and no transition by a signer says so."
    NOTHING_BEFORE = (
        "nothing-before",
        "A tag is to move back, and there is no such digest whose evidence holds.",
    )
    RELEASE_HELD = (
        "release-held",
        "`publish --all-or-nothing` gives it no tag, because another cell may have none.",
    )
    TAG_RACE = "tag-race", "Another publisher won the tags meanwhile."
    TAG_UNKNOWN = (
        "tag-unknown",
        "A channel names an image whose attestations are gone, so that it may be newer.",
    )
    EVIDENCE_LACKING = (
        "evidence-lacking",
        "The image is allowed and tagged, but the destination lacks the attestations that allow it.",
    )
    STILL_TAGGED = "still-tagged", "The image has tags that it may not carry."

    # A stage that did not come to an end.
    MACHINE = "machine", "The machine, the network or a tool failed."
    INCONCLUSIVE = "inconclusive", "A check could not be run to its end."

    # Combinations that become no cell: the rule of compatibility that speaks against it, or the matrix.
    EXCLUDED = "excluded", "`exclude` in the matrix names it."
    ARCHS = "archs", "A GPU's architecture is not among those that a wheel was compiled for."
    AUTO = "auto", "No release of vLLM pins this PyTorch for this CUDA."
    CUDA_BUILD = (
        "cuda-build",
        "A library is built for another CUDA, or another PyTorch, than the one that is there.",
    )
    CUDA_MAJOR = "cuda-major", "PyTorch and vLLM are built for different major versions of CUDA."
    DRIVER = "driver", "The driver is too old for this CUDA, or too new for the GPU."
    EQUAL_VERSIONS = "equal-versions", "Packages that must be of one release are not."
    FORWARD_COMPATIBILITY = (
        "forward-compatibility",
        "CUDA's forward-compatibility package does not work with this GPU or this driver.",
    )
    GLIBC = "glibc", "The base's glibc is older than a wheel needs."
    KNOWN_BAD = "known-bad", "A combination that is known not to work."
    PIN = "pin", "vLLM pins another PyTorch."
    PYTHON = "python", "There are no wheels for this Python."
    RELEASED = "released", "The release does not exist, or not for this platform."
    REQUIREMENT = "requirement", "A package asks for another version of one that is pinned beside it."
    SAME_FILES = "same-files", "Packages that write the same files are installed together."
    VARIANT = "variant", "PyTorch has no build for this CUDA."
    WHOLE = "whole", "The wheel on the index is damaged."

    # What refresh finds wrong with the facts.
    ABSENT = "absent", "The newest release has no row."
    CUDA = "cuda", "A row's CUDA contradicts its metadata or its libraries."
    LOST = "lost", "The index no longer has a release that is in the facts."
    PAGE = "page", "The index answers with a page that cannot be read."
    SOURCE = "source", "A row does not say where a fact was read."
    TORCH = "torch", "A row pins a PyTorch of which there is no row."

    @property
    def is_of_a_tag(self) -> bool:
        """Whether it says that a tag in the destination is not as it should be."""
        return self.startswith("tag-")


@dataclass(frozen=True)
class Reason:
    """Why something is refused: its code, a sentence to read, and the remedy."""

    code: ReasonCode
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.text}\nhint: {self.hint}"
