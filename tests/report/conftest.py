"""The makers of records and results."""

from __future__ import annotations

import pytest

from tests.making import Gather, Maker, make_record, make_results


@pytest.fixture
def record() -> Maker:
    """Return the maker of records."""
    return make_record


@pytest.fixture
def results() -> Gather:
    """Return the maker of results."""
    return make_results
