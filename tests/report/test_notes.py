"""Problems: each with its cells, its run and a reason on one line."""

from __future__ import annotations

from bench.report.notes import problems
from tests.making import Gather, Maker, case, name, suite


def test_problems_name_every_cell_once_with_its_run_and_a_one_line_reason(record: Maker, results: Gather) -> None:
    failing = [
        record(name("a", seed=s), status="failed", reason=None, traceback="Traceback\n  x\nValueError:  bad | <b>")
        for s in range(2)
    ]
    (row,) = problems(results([suite(case("a"))], failing))
    assert (row.reason, row.run, row.records) == ("ValueError: bad | <b>", "run0", 2)
    assert row.cells == (name("a", seed=0), name("a", seed=1))
