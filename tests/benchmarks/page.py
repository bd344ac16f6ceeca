"""How long a page of 5,000 cells takes to its first table, in a headless Chromium.

    python tests/benchmarks/page.py

Prints the size of the page, the seconds to write it, and the milliseconds from opening it to the table, five times.
Needs Chromium and chromedriver on the PATH.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.cases.catalog import load
from bench.report import page
from tests.benchmarks.figures import say
from tests.making import make_record, make_results

CELLS, ROUNDS = 5000, 5


def main() -> None:
    """Print the three figures."""
    suites = list(load().suites.values())
    names = [f"{suite.name}/{case.name}" for suite in suites for case in suite.cases]
    variants = [(name, backend) for name in names for backend in ("keras-tensorflow", "torch")]
    records = [
        make_record(
            f"{name}@{backend},none,cpu,documented#{number // len(variants)}",
            test=0.5 + number / (3 * CELLS),
            val=[0.5 + epoch / 30 for epoch in range(10)],
            epoch_seconds=[1 + epoch / 7 for epoch in range(10)],
            counts=(10_000, 500, 33),
        )
        for number, (name, backend) in zip(range(CELLS), variants * CELLS, strict=False)
    ]
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    chrome = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        (path,) = page.write(make_results(suites, records), Path(folder))
        print(f"{CELLS:,} cells: {path.stat().st_size / 1e6:.1f} MB, written in {time.perf_counter() - start:.1f} s")
        for _ in range(ROUNDS):
            chrome.get("about:blank")
            chrome.get(f"{path.as_uri()}#view=cells")
            found.append(WebDriverWait(chrome, 60, 0.05).until(first_table))
    chrome.quit()
    print(f"first table after {statistics.median(found):.0f} ms (median of {', '.join(f'{ms:.0f}' for ms in found)})")
    say(first_table=statistics.median(found) / 1000)


def first_table(chrome: Chrome) -> float | None:
    """Return the milliseconds from the page's opening to its first table, None before that."""
    found: float | None = chrome.execute_script(
        "return performance.getEntriesByName('table').map((mark) => mark.startTime)[0]"
    )
    return found


if __name__ == "__main__":
    main()
