"""Fixtures that several parts of the tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_speech() -> Path:
    """The folder of real speech beside the repository; skips where it is absent."""
    path = ROOT.parent / "shared" / "speech"
    if not path.is_dir():
        pytest.skip("needs real speech at ../shared/speech")
    return path
