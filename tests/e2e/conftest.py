"""The whole program, from the outside."""

import os

import pytest

from tests.support.proxy import REVIVER


@pytest.fixture(scope="session", autouse=True)
def _program() -> None:
    """A missing program is one clear failure, not hundreds of puzzling ones."""
    if not os.access(REVIVER, os.X_OK):
        pytest.exit(f"{REVIVER} is not there: run `make build` first", returncode=1)
