from datetime import UTC, datetime
from pathlib import Path

import pytest

from inhouse.plan.assumptions import Assumptions, load_assumptions
from inhouse.plan.market import working_noon

AT = working_noon(datetime(2026, 11, 25, tzinfo=UTC))


@pytest.fixture(scope="session")
def example() -> Assumptions:
    """The company of the worked example."""
    return load_assumptions(Path(__file__).with_name("worked_example.toml"))


@pytest.fixture(scope="session")
def shipped() -> Assumptions:
    return load_assumptions()
