"""What Debian's package manager has installed, from its own words."""

from __future__ import annotations

from pipeline.formats import dpkg

STATUS = """\
Package: libc6
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u13
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
Description: GNU C Library
 Package: not-one
 .

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b8
Source: bash (5.2.15-2)

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def test_a_package_has_the_source_that_it_was_built_from() -> None:
    """Of a package whose source has its version that is the same, and of a rebuild it is another."""
    found = {package.name: package for package in dpkg.packages(STATUS)}
    libc, bash = found["libc6"], found["bash"]
    assert (libc.source, libc.source_version) == ("glibc", "2.36-9+deb12u13")
    assert (bash.source, bash.version, bash.source_version) == ("bash", "5.2.15-2+b8", "5.2.15-2")


def test_what_was_removed_is_not_installed() -> None:
    """Debian keeps its name for as long as its settings lie there."""
    assert [package.name for package in dpkg.packages(STATUS)] == ["libc6", "bash"]


def test_a_file_of_a_distroless_image_has_no_status_and_counts() -> None:
    (found,) = dpkg.packages("Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n")
    assert (found.name, found.architecture) == ("tzdata", "all")


def test_a_paragraph_that_names_no_package_by_debians_rules_is_left_out() -> None:
    hostile = (
        "Package: a\x1b[31m\nVersion: 1\nArchitecture: all\n\nPackage: b\nVersion: 1 2\nArchitecture: all\n"
    )
    assert not [*dpkg.packages(hostile)]


def test_files_of_checksums_are_no_packages() -> None:
    assert dpkg.is_status("/var/lib/dpkg/status.d/base")
    assert not dpkg.is_status("/var/lib/dpkg/status.d/base.md5sums")
    assert not dpkg.is_status("/var/lib/dpkg/status-old")
