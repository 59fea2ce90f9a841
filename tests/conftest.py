"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

# A busy machine is no reason to fail: examples are checked for what they do, not for how long.
settings.register_profile(
    "explint", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("explint")

FOLDER = Path(__file__).parent / "snapshots"

# Under `nohup`, or behind `&` in a script, SIGINT is ignored, and so it would be in every process
# that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Rules and machinery are what is tested: an answer from an earlier run would test nothing.
os.environ["EXPLINT_CACHE_DIR"] = ""


class TextFile(SingleFileSnapshotExtension):
    """One readable file per snapshot, named by the test."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        return str(FOLDER / test_location.basename)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compares texts with files in tests/snapshots; ``pytest --snapshot-update`` writes them."""
    return snapshot.use_extension(TextFile)
