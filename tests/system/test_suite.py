"""The suite on bare metal: a real environment passes it whole; servers that misbehave are found out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import fetch, lock, matrix, places, suite, verify, wheels
from pipeline.nouns import Expected, Outcome, PythonTarget, Trial
from pipeline.suite import tiny_model
from pipeline.uv import _uv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.nouns import Check

HERE = Path(__file__).resolve().parents[2]
