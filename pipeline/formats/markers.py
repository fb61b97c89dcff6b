"""What the markers of requirements (PEP 508) speak of, for a Python that is not the one that runs us."""

from __future__ import annotations


def environment(python: str, machine: str, patch: str = "0") -> dict[str, str]:
    """The values for a release of CPython ("3.11" and its patch) on Linux on this machine, without extras.

    All of them: what is left out, a marker would take from the Python that judges.
    """
    full = f"{python}.{patch}"
    return {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": python,
        "sys_platform": "linux",
    }
