"""The page, read back by an HTML parser, and used in a headless Chromium as its readers use it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NoReturn

import pytest
from msgspec import structs

from bench.records.record import Record, Timing
from bench.report import page
from bench.report.answers import TOPICS
from bench.report.results import Results
from bench.report.topic import Answer, Table
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    Imdb,
    LastFraction,
    Score,
    Suite,
    Training,
)
from tests.making import Gather, Maker

selenium = pytest.importorskip("selenium", reason="drives the browser; pip install 'twinbench[dev]'")
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver import Chrome, ChromeOptions, Keys  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

ANSWER = Answer("It is 2.0 times as fast.", Table(("layer", "x"), (("`LSTM`", "2.0"),)), (), ("Run `bench ab`.",))
HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>&lt;b&gt;\u2028'
MANY = 5000
PATIENCE = 200
"""Seconds that a busy machine may take to show a page: fewer than pytest itself waits."""


def case(name: str, recurrent: bool) -> Case:
    middle = LSTM(4) if recurrent else Flatten()
    return Case(
        name,
        data=Imdb(num_words=50, maxlen=10),
        layers=(Embedding(50, 8), middle, Dense(1, "sigmoid")),
        training=Training("adam", epochs=2, validation=LastFraction(0.25)),
        documented=Documented(test=Score(0.5, 0.8)),
        notes=(HOSTILE,),
    )


SUITE = Suite("demo", "9", "A demonstration", KERAS_2_3, (case("flat", False), case("lstm", True), case("idle", False)))
ACCURACIES = {"keras-tensorflow": (0.81, 0.83, 0.79), "torch": (0.80, 0.84, 0.82)}
STEADY = {"keras-tensorflow": (2.0, 2.2, 9.0), "torch": (1.0, 1.1, 0.9)}


def in_three_processes(record: Maker, cell: str, epochs: Sequence[float], **changes: Any) -> list[Record]:
    """Return records of three processes alike: epochs of these seconds, steps that take a hundredth of their median."""
    first, *steady = epochs
    step = median(steady) / 100
    windows = [(1, 1.0), (2, 1.0 + step)]
    timing = Timing(build=0.1, first_epoch=first, epochs=steady, steps=100, total=9.0, alone=True, step=step)
    timing = structs.replace(timing, windows=windows)
    changes = {"measure": "timing", "epoch_seconds": epochs, "timing": timing, **changes}
    return [record(cell, repeat=repeat, **changes) for repeat in range(3)]


@pytest.fixture
def few(record: Maker, results: Gather) -> Results:
    """Two backends with three seeds and timing each, a failed, a diverged and a hostile cell, and a case not run."""
    runs = [
        record(f"demo/flat@{name},none,cpu,documented#{seed}", test=accuracy, val=(0.7, accuracy), measure="accuracy")
        for name, accuracies in ACCURACIES.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    runs += [
        timed
        for name, seconds in STEADY.items()
        for timed in in_three_processes(record, f"demo/flat@{name},none,cpu,documented#0", (5.0, *seconds))
    ]
    diverged = {"status": "failed", "reason": "the loss became NaN in epoch 1, step 3"}
    runs += [
        record("demo/lstm@torch,generic,cpu,documented#0", status="failed", reason="it broke", traceback=HOSTILE),
        record("demo/lstm@torch,fused,cpu,documented#0", val=(0.5,), loss=float("nan"), test=0.5, **diverged),
        structs.replace(
            record(
                "demo/lstm@keras-tensorflow,generic,cpu,documented#7",
                test=0.5,
                stand_in=HOSTILE,
                kernels_seen=[HOSTILE],
                memory={HOSTILE: 1.0},
            ),
            case=HOSTILE,
            backend=HOSTILE,
            numerics=HOSTILE,
        ),
    ]
    return results([SUITE], runs, seeds=3)


# --- the file ----------------------------------------------------------------------------------------------------


class Parts(HTMLParser):
    """Scripts and addresses of a page, as an HTML parser that is not ours sees them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.policy = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(attributes[name]) for name in ("src", "href", "srcset", "action") if name in attributes]
        if tag == "script":
            self.scripts.append((attributes, ""))
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(attributes["content"])

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


def test_the_page_asks_for_nothing_and_runs_nothing_but_its_own_scripts(few: Results) -> None:
    text = page.page(few)
    parts = Parts(text)
    assert parts.addresses == ["data:,"]
    assert not re.search(r"@import|sourceMappingURL", text)
    programs = [script for attributes, script in parts.scripts if "type" not in attributes]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in programs]
    assert len(hashes) == 3
    assert parts.policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src "
        + " ".join(f"'sha256-{one}'" for one in hashes)
    )


def test_hostile_text_stays_in_the_data(few: Results) -> None:
    text = page.page(few)
    parts = Parts(text)
    assert [attributes.get("type") for attributes, _ in parts.scripts] == ["application/json"] * 2 + [None] * 3
    assert HOSTILE[:20] not in text
    held = json.loads(parts.scripts[1][1])
    assert [one["failure"]["traceback"] for one in held["records"].values() if "failure" in one] == [HOSTILE]


def test_rows_hold_the_figures_of_the_records(few: Results) -> None:
    rows = {row["id"]: row for row in page.configurations(few)}
    for name in ACCURACIES:
        row = rows[f"demo/flat@{name},none,cpu,documented"]
        assert row["test"] == pytest.approx(fmean(ACCURACIES[name]))
        assert row["epoch"] == median(STEADY[name])
        assert (row["n"], row["test_documented"], row["status"]) == (3, 0.8, "ok")
    assert rows["demo/idle"]["status"] == "not run"
    assert rows["demo/lstm@torch,generic,cpu,documented"]["status"] == "failed"
    listed = page.cells(few)
    assert len(listed) == len({row["id"] for row in listed}) == 15


def test_a_configuration_whose_accuracy_failed_is_not_ok_though_it_was_timed(record: Maker, results: Gather) -> None:
    name = "demo/flat@torch,none,cpu,documented#0"
    timed = record(name, epoch_seconds=(5.0, 1.0), measure="timing")
    failed = record(name, measure="accuracy", status="failed", reason="it broke", data=None)
    rows = {row["id"]: row for row in page.configurations(results([SUITE], [timed, failed]))}
    row = rows["demo/flat@torch,none,cpu,documented"]
    assert (row["status"], row["n"], row["epoch"]) == ("failed", 0, 1.0)
    (alone, *_) = page.configurations(results([SUITE], [timed]))
    assert alone["status"] == "ok"


def test_a_case_has_one_row_with_both_sides_and_what_they_differ_by(few: Results) -> None:
    rows = {row["id"]: row for row in page.cases(few)}
    assert list(rows) == ["demo/flat", "demo/lstm", "demo/idle"]
    flat = rows["demo/flat"]
    keras, torch = ACCURACIES.values()
    assert (flat["test_reference"], flat["test_candidate"]) == pytest.approx((fmean(keras), fmean(torch)))
    changes = [second - first for first, second in zip(keras, torch, strict=True)]
    half = 4.302653 * stdev(changes) / 3**0.5  # Student's t for two degrees of freedom
    assert (flat["test_difference"], flat["test_difference_half"]) == pytest.approx((fmean(changes), half))
    assert (flat["speed"], flat["comparable"]) == (pytest.approx(2.2 / 1.0), "yes")
    assert rows["demo/idle"]["test_candidate_status"] == "not run"
    assert rows["demo/lstm"]["test_candidate_status"] == "failed"


def test_what_only_one_framework_measured_is_shown_too(record: Maker, results: Gather) -> None:
    for backend, side in (("keras-tensorflow", "reference"), ("torch", "candidate")):
        content = results([SUITE], [record(f"demo/flat@{backend},none,cpu,documented#0", test=0.7)])
        rows = {row["case"]: row for row in page.cases(content)}
        assert rows["flat"][f"test_{side}"] == 0.7
        assert len(rows) == 3
        assert "test_difference" not in rows["flat"]


def test_accuracy_runs_give_no_factor_of_times(record: Maker, results: Gather) -> None:
    def speeds(measure: str) -> list[Any]:
        names = (f"demo/flat@{backend},none,cpu,documented#0" for backend in ACCURACIES)
        given = {"test": 0.7, "measure": measure}
        records = [one for name in names for one in in_three_processes(record, name, (2.0, 1.0), **given)]
        return [row.get("speed") for row in page.cases(results([SUITE], records)) if row["case"] == "flat"]

    assert speeds("all") == [1.0]
    assert speeds("accuracy") == [None]


def test_steps_alone_have_times_and_nothing_else(record: Maker, results: Gather) -> None:
    timing = Timing(build=0.1, steps=100, total=2.0, alone=True, windows=[(10, 0.1), (20, 0.3)], step=0.02)
    names = [f"demo/flat@{backend},none,cpu,native#0" for backend in ACCURACIES]
    content = results([SUITE], [record(name, measure="steps", timing=timing, train=0.0) for name in names])
    flat, *_ = page.cases(content)
    assert (flat["step_reference"], flat["step_candidate"], flat["comparable"]) == (0.02, 0.02, "yes")
    assert not {"test_reference", "val_reference", "test_difference"} & flat.keys()
    assert [row.get("test") for row in page.cells(content)] == [None, None]
    assert {row["step"] for row in page.configurations(content) if row["status"] == "ok"} == {0.02}
    documented = [record(name.replace("native", "documented"), measure="accuracy", test=0.7) for name in names]
    flat, *_ = page.cases(results([SUITE], [*content.records, *documented]))
    assert (flat["test_reference"], flat["step_reference"], flat["timed_under"]) == (0.7, 0.02, "native")


def test_times_of_glances_are_rough(record: Maker, results: Gather) -> None:
    names = [f"demo/flat@{backend},none,cpu,native#0" for backend in ACCURACIES]
    glances = [record(name, measure="glance", test=0.7, epoch_seconds=(2.0, 1.0), alone=False) for name in names]
    flat, *_ = page.cases(results([SUITE], glances))
    assert (flat["step_reference"], flat["comparable"], flat.get("speed")) == (0.01, "no", None)


def test_test_and_validation_accuracies_never_share_a_column(record: Maker, results: Gather) -> None:
    validated = replace(case("validated", False), documented=Documented(epochs=(Epoch(0.6, 0.7, 0.5, 0.71),) * 2))
    records = [
        record(f"demo/{name}@{backend},none,cpu,documented#0", val=(0.61, 0.62), test=test)
        for name, test in (("flat", 0.83), ("validated", None))
        for backend in ACCURACIES
    ]
    content = results([Suite("demo", "9", "Two sets", KERAS_2_3, (SUITE.cases[0], validated))], records)
    held: dict[float, set[str]] = {}
    for rows in (page.cases(content), page.configurations(content), page.cells(content)):
        for field, figure in (pair for row in rows for pair in row.items()):
            if figure in (0.83, 0.62):
                held.setdefault(figure, set()).add(field)
    assert held[0.83] == {"test", "test_reference", "test_candidate"}
    assert held[0.62] == {"val", "val_reference", "val_candidate"}


def test_what_tells_rows_apart_is_ranked_only_where_it_does(few: Results, record: Maker, results: Gather) -> None:
    def ranked(content: Results) -> dict[str, set[str]]:
        views = page.overview(content)["views"]
        return {view["name"]: {one["field"] for one in view["columns"] if one["rank"] is not None} for view in views}

    one = ranked(results([SUITE], [record("demo/flat@torch,none,cpu,documented#0", test=0.7)]))
    assert not one["cells"] & {"device", "numerics", "status", "repeat", "measure"}
    several = ranked(few)
    assert {"numerics", "status", "measure"} < several["cells"]
    assert "device" not in several["configurations"]


def test_an_answer_is_a_tile_and_a_missing_one_says_what_measures_it(
    few: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = {topic.name: str(topic.question) for topic in TOPICS}
    found = {questions["speed"]: ANSWER, questions["fused"]: Answer("Of another question.")}
    monkeypatch.setattr(page, "answers", lambda _: found)
    content = page.overview(few)
    assert [tile.get("conclusion") for tile in content["tiles"]] == [None, ANSWER.conclusion, None, None]
    assert all(tile["command"].startswith("bench ") for tile in content["tiles"])
    assert [answer["conclusion"] for answer in content["answers"]] == ["Of another question."]


def test_a_cell_is_set_against_the_same_seed_of_the_other_framework(few: Results) -> None:
    twins = {row["id"]: row["twin"] for row in page.cells(few)}
    assert (
        twins["demo/flat@torch,none,cpu,documented#1 accuracy"]
        == "demo/flat@keras-tensorflow,none,cpu,documented#1 accuracy"
    )
    assert twins["demo/lstm@torch,fused,cpu,documented#0 all"] is None


def test_what_json_cannot_say_is_named(few: Results) -> None:
    held = json.loads(Parts(page.page(few)).scripts[1][1], parse_constant=pytest.fail)
    diverged = held["records"]["demo/lstm@torch,fused,cpu,documented#0 all"]
    assert diverged["metrics"]["last"]["test"]["loss"] == "nan"


def test_libraries_lie_beside_their_licences(few: Results) -> None:
    written = page.page(few)
    assets = files("bench.report") / "assets"
    told = (assets / "README.md").read_text(encoding="utf-8")
    for name in ("tabulator.min.js", "tabulator_simple.min.css", "chart.umd.min.js"):
        digest = hashlib.sha256((assets / name).read_bytes()).hexdigest()
        assert f"{name}` | `{digest}" in told
    for licence in ("tabulator.LICENSE", "chart.js.LICENSE"):
        text = (assets / licence).read_text(encoding="utf-8")
        assert "MIT" in text
        assert text.splitlines()[0] in written, "who sends a page to somebody sends the licences along"


def test_the_documented_matrix_fits_into_three_megabytes(record: Maker, results: Gather) -> None:
    """37 cases under two backends, five seeds and one timing each, twenty epochs a cell."""
    cases = tuple(case(f"case-{number}", recurrent=True) for number in range(37))
    many = [
        record(
            f"demo/case-{number}@{backend},generic,cpu,documented#{seed}",
            test=0.8 + seed / 1000 + number / 7e4,
            val=[0.7 + epoch / 171 for epoch in range(20)],
            epoch_seconds=[1 + epoch / 37 for epoch in range(20)],
            counts=(400, number, 5),
            measure="timing" if seed == 5 else "accuracy",
        )
        for number in range(37)
        for backend in ACCURACIES
        for seed in range(6)
    ]
    written = page.page(results([Suite("demo", "9", "Many", KERAS_2_3, cases)], many))
    assert len(written.encode()) < 3e6


# --- in a browser ------------------------------------------------------------------------------------------------


def without_browser(why: str) -> NoReturn:
    """Skip where a reader's machine has no browser; fail in CI, which promises one by `BENCH_BROWSER=required`."""
    if os.environ.get("BENCH_BROWSER") == "required":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        without_browser("no Chromium with chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--window-size=1700,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        opened = Chrome(options=options, service=Service(driver, log_output=os.devnull))
    except WebDriverException as error:
        without_browser(f"{binary} does not start: {str(error).splitlines()[0]}")
    opened.set_script_timeout(PATIENCE)
    yield opened
    opened.quit()


class Reader:
    """Opens a page and reads what it shows."""

    def __init__(self, chrome: Chrome, address: str) -> None:
        self.chrome, self.address = chrome, address

    def open(self, fragment: str = "") -> None:
        self.chrome.get("about:blank")
        self.chrome.get(self.address + fragment)
        self.settle()

    def settle(self) -> None:
        """Wait until the table shows and two frames have passed, after which the plots are drawn."""
        self.wait(lambda: self.run("return performance.getEntriesByName('table').length"))
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.chrome.execute_async_script(f"const done = arguments[0]; setTimeout(() => {frames});")

    def wait(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.chrome, PATIENCE, 0.02).until(lambda _: condition())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.chrome.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()
        self.settle()

    def search(self, words: str) -> None:
        """Type into the search box and wait until the page has taken it up."""
        self.find("#search").send_keys(words)
        self.wait(lambda: f"q={words}" in self.fragment())
        self.settle()

    def keys(self, *keys: str) -> None:
        self.run("return document.activeElement").send_keys(*keys)
        self.settle()

    def choose(self, facet: str, value: str) -> None:
        if not self.run("return arguments[0].open", self.find(f"[data-facet={facet}]")):
            self.click(f"[data-facet={facet}] summary")
        self.click(f"[data-facet={facet}] input[value={json.dumps(value)}]")

    def size(self, width: int, height: int = 1000) -> None:
        """Take on the size of a screen; a new page opens in it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def column(self, field: str) -> list[str]:
        """Return the texts of a column from top to bottom, of the rows that are drawn."""
        script = """return [...document.querySelectorAll(
            '[data-view]:not([hidden]) .tabulator-row [tabulator-field="' + arguments[0] + '"]')
            ].filter((cell) => cell.offsetParent).map((cell) => cell.innerText)"""
        found: list[str] = self.run(script, field)
        return found

    def fragment(self) -> str:
        found: str = self.run("return decodeURIComponent(location.hash.replaceAll('+', ' '))")
        return found

    def points(self) -> int:
        """Return how many points the plot has."""
        found: int = self.run(
            "return Chart.getChart('scatter').data.datasets.reduce((sum, one) => sum + one.data.length, 0)"
        )
        return found

    def curves(self) -> list[str]:
        found: list[str] = self.run("return Chart.getChart('curves').data.datasets.map((one) => one.label)")
        return found


@pytest.fixture
def reader(chrome: Chrome, few: Results, tmp_path: Path) -> Iterator[Reader]:
    (path,) = page.write(few, tmp_path)
    yield Reader(chrome, path.as_uri())
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert chrome.get_log("browser") == []


def test_it_sorts_with_missing_values_last(reader: Reader) -> None:
    reader.open()
    reader.click("#views [value=cells]")
    assert len(reader.column("test")) == 15
    header = '[data-view=cells] .tabulator-col[tabulator-field="test"]'
    expected = sorted([*(100 * one for ones in ACCURACIES.values() for one in ones), 50.0])
    missing = ["–"] * 8
    reader.click(header)
    assert reader.column("test") == [f"{value:.2f}" for value in reversed(expected)] + missing
    assert "sort=-test" in reader.fragment()
    reader.click(header)
    assert reader.column("test") == [f"{value:.2f}" for value in expected] + missing
    assert "sort=test" in reader.fragment()


def test_filters_narrow_table_plots_and_address_and_are_kept_there(reader: Reader) -> None:
    reader.open("#view=configurations")
    assert reader.find("#count").text == "5 rows"
    assert reader.points() == 2
    reader.choose("backend", "torch")
    assert set(reader.column("backend")) == {"torch"}
    assert reader.find("#count").text == "3 of 5 rows"
    assert reader.points() == 1
    reader.choose("status", "ok")
    assert reader.fragment() == "#view=configurations&backend=torch&status=ok"
    assert [one.splitlines()[-1] for one in reader.column("case")] == ["demo/flat"]
    reader.choose("status", "failed")
    assert len(reader.column("case")) == 3
    reader.open(reader.run("return location.hash"))
    assert reader.find("#count").text == "3 of 5 rows"
    assert reader.find("[data-facet=status] summary").text.startswith("status: ok, failed")
    reader.click("#filter [type=reset]")
    assert (reader.find("#count").text, reader.fragment()) == ("5 rows", "#view=configurations")


def test_curves_are_of_what_is_filtered_and_of_its_twin(reader: Reader) -> None:
    reader.open("#view=configurations&backend=torch&case=flat")
    assert reader.column("backend") == ["torch"]
    both = [f"demo/flat@{name},none,cpu,documented" for name in ("torch", "keras-tensorflow")]
    assert reader.curves() == both
    mean = "return Chart.getChart('curves').data.datasets[0].data"
    assert reader.run(mean) == pytest.approx([70, 100 * fmean(ACCURACIES["torch"])])


def test_a_case_shows_both_sides_and_another_pair_on_demand(reader: Reader) -> None:
    reader.open()
    assert reader.find("#count").text == "3 rows"
    assert reader.column("test_reference")[0].split()[0] == "81.00"
    assert reader.column("test_candidate")[0].split()[0] == "82.00"
    assert reader.column("test_difference")[0].split()[0] == "+1.00"
    assert reader.column("test_candidate")[1:] == ["failed", "not run"]


def test_another_backend_is_set_against_the_reference_on_demand(
    chrome: Chrome, record: Maker, results: Gather, tmp_path: Path
) -> None:
    accuracies = {"keras-tensorflow": 0.81, "torch": 0.82, "keras-jax": 0.86}
    records = [
        record(f"demo/flat@{backend},none,cpu,documented#0", test=accuracy) for backend, accuracy in accuracies.items()
    ]
    (path,) = page.write(results([SUITE], records), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open()
    assert (reader.column("test_candidate")[0], reader.column("test_difference")[0]) == ("82.00", "+1.00")
    choose = "arguments[0].value = 'keras-jax'; arguments[0].dispatchEvent(new Event('change'))"
    reader.run(choose, reader.find("#pair"))
    for _ in range(2):
        reader.settle()
        assert (reader.column("test_candidate"), reader.column("test_difference")) == (["86.00"], ["+5.00"])
        heading = reader.find('[data-view=cases] .tabulator-col[tabulator-field="test_candidate"]').text
        assert heading.endswith("keras-jax")
        reader.open(reader.run("return location.hash"))
    assert chrome.get_log("browser") == []


@pytest.mark.parametrize(("width", "most"), [(1440, 8), (400, 4)])
def test_the_deciding_columns_are_in_sight(width: int, most: int, chrome: Chrome, reader: Reader) -> None:
    reader.size(width)
    reader.open()
    place = """return [...document.querySelectorAll('[data-view=cases] .tabulator-col')]
        .filter((one) => one.offsetParent)
        .map((one) => [one.getAttribute('tabulator-field'), one.getBoundingClientRect().right])"""
    shown = dict(reader.run(place))
    assert len(shown) <= most
    assert {"case", "test_difference", "speed"} <= shown.keys()
    assert max(shown.values()) <= width
    assert reader.run("return document.documentElement.scrollWidth") <= width
    for view in ("configurations", "cells"):
        reader.click(f"#views [value={view}]")
        headings = f"[data-view={view}] .tabulator-col"
        found = chrome.find_elements(By.CSS_SELECTOR, headings)
        assert sum(one.is_displayed() for one in found) <= most


def test_a_tile_opens_its_table_and_a_missing_answer_names_its_command(
    chrome: Chrome, few: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = next(str(topic.question) for topic in TOPICS if topic.name == "speed")
    monkeypatch.setattr(page, "answers", lambda _: {speed: ANSWER})
    (path,) = page.write(few, tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open()
    tiles = reader.chrome.find_elements(By.CSS_SELECTOR, ".tile")
    assert len(tiles) == 4
    assert "bench parity" in tiles[0].text
    assert ANSWER.conclusion in tiles[1].text
    assert ANSWER.notes[0].replace("`", "") not in tiles[1].text
    reader.click(".tile summary")
    assert [one.text for one in tiles[1].find_elements(By.CSS_SELECTOR, "td")] == ["LSTM", "2.0"]
    assert ANSWER.notes[0].replace("`", "") in tiles[1].text


def test_rough_times_are_hollow_and_points_have_names(
    chrome: Chrome, record: Maker, results: Gather, tmp_path: Path
) -> None:
    records = [
        record(f"demo/{name}@torch,none,cpu,documented#0", test=0.7, epoch_seconds=(5.0, seconds), measure=measure)
        for name, measure, seconds in (("flat", "accuracy", 1.0), ("idle", "all", 3.0))
    ]
    (path,) = page.write(results([SUITE], records), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open()
    (series,) = reader.run("return Chart.getChart('scatter').data.datasets.map((one) => one.pointBackgroundColor)")
    assert [colour == "transparent" for colour in series] == [True, False]
    assert reader.find("#rough").is_displayed()
    assert sorted(reader.run("return Chart.getChart('scatter').names")) == ["demo/flat flat", "demo/idle idle"]


def test_a_documented_figure_is_drawn_for_what_was_measured_alone(reader: Reader) -> None:
    reader.open("#view=configurations&y=test_documented&x=case")
    points = "datasets.flatMap((one) => one.data.map((point) => point.row.id))"
    drawn = reader.run(f"return Chart.getChart('scatter').data.{points}")
    assert len(drawn) == 4
    assert all("@" in name for name in drawn), "the case that has not run is no backend"


def test_an_empty_plot_says_why_and_curves_are_of_a_kind_that_is_there(reader: Reader) -> None:
    reader.open("#q=nosuchthing")
    nothing = "return [...document.querySelectorAll('#plots .canvas')].map((one) => one.dataset.nothing)"
    assert all(text.startswith("No ") for text in reader.run(nothing))
    narrow = reader.find(".tabulator-col[tabulator-field=case]").size["width"]
    reader.click("#filter [type=reset]")
    assert reader.run(nothing) == ["", ""]
    reader.open()
    assert reader.find(".tabulator-col[tabulator-field=case]").size["width"] == narrow, "as wide as all rows need"
    reader.open("#view=cells&q=onerror")
    assert reader.find("#curve").get_attribute("value") == "accuracy", "nothing was validated"
    assert len(reader.curves()) == 1


def test_search_looks_into_every_column(reader: Reader) -> None:
    reader.open()
    reader.search("BROKE torch")
    assert reader.find("#count").text == "0 of 3 rows"
    reader.click("#views [value=cells]")
    assert reader.find("#count").text == "1 of 15 rows"
    assert reader.column("status") == ["failed"]
    assert reader.fragment() == "#view=cells&q=BROKE torch"


def test_a_changed_address_changes_the_page(reader: Reader) -> None:
    reader.open()
    reader.run("location.hash = 'view=cells&case=flat&sort=epoch&column=epoch&column=case'")
    reader.settle()
    assert len(reader.column("case")) == 12
    assert reader.column("epoch")[:6] == ["1.00"] * 3 + ["2.20"] * 3
    assert reader.column("backend") == []


def test_columns_are_chosen(reader: Reader) -> None:
    reader.open("#view=configurations")
    assert reader.column("device") == []
    reader.click("#columns summary")
    reader.click("#columns input[value=device]")
    reader.click("#columns input[value=kernel]")
    assert set(reader.column("device")) == {"cpu", "–"}
    assert reader.column("kernel") == []
    reader.open(reader.run("return location.hash"))
    assert set(reader.column("device")) == {"cpu", "–"}


def test_details_of_a_failure_show_its_traceback_as_text(reader: Reader) -> None:
    reader.open("#view=cells&q=broke")
    reader.click("[data-view=cells] .tabulator-row .tabulator-cell")
    assert reader.run("return document.getElementById('traceback').textContent") == HOSTILE
    shown = reader.find("#details").text
    again = "bench run 'demo/lstm@torch,generic,cpu,documented#0' --measure=all --profile=documented --threads=2"
    assert again in shown
    assert "Example CPU" in shown
    reader.keys(Keys.ESCAPE)
    assert not reader.run("return document.getElementById('details').open")
    assert "open=" not in reader.fragment()


def test_details_are_reached_by_address_and_lead_to_their_neighbours(reader: Reader) -> None:
    reader.open("#view=cells&open=demo/flat@torch,none,cpu,documented%230%20accuracy")
    title = "return document.getElementById('details-title').textContent"
    assert reader.run(title) == "demo/flat@torch,none,cpu,documented#0 accuracy ok"
    curves = "return Chart.getChart(document.querySelector('#details canvas')).data.datasets.map((one) => one.data)"
    assert reader.run(curves)[:2] == [[70, 80], [70, 81]], "validation accuracy, its own and its twin's"
    against = reader.find("#versus").text.splitlines()
    assert any(line.startswith("test accuracy") and line.endswith("80.00 81.00 +1.00 points") for line in against)
    reader.keys(Keys.ARROW_RIGHT)
    assert reader.run(title) == "demo/flat@torch,none,cpu,documented#0 repeat 1 timing ok"
    assert "1, 1.1, 0.9" in reader.find("#details").text
    reader.keys(Keys.ARROW_LEFT)
    assert reader.run(title).startswith("demo/flat@torch,none,cpu,documented#0 accuracy")


def test_counts_have_all_their_digits(chrome: Chrome, record: Maker, results: Gather, tmp_path: Path) -> None:
    """Show a median of two counts in the table, and a count in the details of a cell."""
    cells = [f"demo/flat@torch,none,cpu,documented#{seed}" for seed in range(2)]
    (path,) = page.write(results([SUITE], [record(cell, test=0.7, counts=[3_480_033]) for cell in cells]), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open("#view=configurations&column=parameters")
    assert reader.column("parameters")[0] == "3,480,033"
    reader.open(f"#view=cells&open={cells[0].replace('#', '%23')}%20all")
    assert "3,480,033" in reader.find("#details").text
    assert "3,480,030" not in reader.find("#details").text


@pytest.mark.parametrize(("measure", "comparable"), [("accuracy", "no"), ("timing", "yes")])
def test_table_and_details_say_alike_whether_times_are_comparable(
    measure: str, comparable: str, chrome: Chrome, record: Maker, results: Gather, tmp_path: Path
) -> None:
    """Look at a cell that was alone in its process, which times of an accuracy run may be, too."""
    cell = record("demo/flat@torch,none,cpu,documented#0", test=0.7, epoch_seconds=(5.0, 1.0), measure=measure)
    (path,) = page.write(results([SUITE], [cell]), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open("#view=cells&column=case&column=comparable")
    assert reader.column("comparable") == [comparable]
    reader.click("[data-view=cells] .tabulator-row .tabulator-cell")
    pairs = "[...document.querySelectorAll('#details dt')].map((one) => [one.innerText, one.nextSibling.innerText])"
    assert dict(reader.run(f"return {pairs}"))["times comparable"] == comparable


def test_a_configuration_leads_to_its_cells(reader: Reader) -> None:
    reader.open("#view=configurations")
    reader.click("[data-view=configurations] .tabulator-row .tabulator-cell")
    buttons = [one.text for one in reader.chrome.find_elements(By.CSS_SELECTOR, "#details li button")]
    flat = "demo/flat@keras-tensorflow,none,cpu,documented"
    repeats = [f"{flat}#0{repeat} timing" for repeat in ("", " repeat 1", " repeat 2")]
    assert sorted(buttons) == sorted([*repeats, *(f"{flat}#{seed} accuracy" for seed in range(3))])
    reader.click("#details li button")
    assert f"open={flat}#0 accuracy" in reader.fragment()


def test_keys_alone_suffice(reader: Reader) -> None:
    reader.open()
    reader.find("body").send_keys("/")
    reader.keys("flat")
    reader.wait(lambda: "q=flat" in reader.fragment())
    reader.keys(Keys.ARROW_DOWN)
    reader.keys(Keys.ARROW_DOWN)
    reader.keys(Keys.ARROW_DOWN)
    reader.keys(Keys.ENTER)
    assert "open=demo/flat" in reader.fragment()
    reader.keys(Keys.ESCAPE)
    reader.run("document.querySelector('.tabulator-col[tabulator-field=speed]').focus()")
    reader.keys(Keys.ENTER)
    assert "sort=-speed" in reader.fragment()


def test_hostile_text_is_shown_and_does_nothing(reader: Reader) -> None:
    reader.open("#view=cells&q=onerror&column=case&column=backend&column=numerics&column=stand_in")
    for field in ("case", "backend", "numerics", "stand_in"):
        assert len(reader.column(field)) == 1
        assert '<img src=x onerror="window.hacked=1"></script>' in reader.column(field)[0]
    reader.choose("backend", "torch")
    assert HOSTILE[:30] in reader.run("return document.querySelector('[data-facet=backend]').textContent")
    reader.click("[data-facet=backend] input[value=torch]")
    reader.click("[data-view=cells] .tabulator-row .tabulator-cell")
    assert reader.find("#details").text.count("<img src=x") >= 4
    reader.run("dispatchEvent(new Event('beforeprint'))")
    assert reader.run("return document.getElementById('print').innerText").count("<img src=x") == 4
    reader.run("dispatchEvent(new Event('afterprint'))")
    reader.settle()
    assert reader.run("return [document.querySelectorAll('img').length, window.hacked ?? null]") == [0, None]


def test_the_policy_stops_a_script_that_gets_in(reader: Reader) -> None:
    """Should a library one day put text into the page as HTML, its handlers still do not run."""
    reader.open()
    reader.run(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(HOSTILE)})")
    reader.wait(
        lambda: "Content Security Policy" in "".join(entry["message"] for entry in reader.chrome.get_log("browser"))
    )
    assert reader.run("return window.hacked ?? null") is None


def test_printing_takes_the_whole_table(reader: Reader) -> None:
    reader.open("#view=cells&case=flat")
    reader.run("dispatchEvent(new Event('beforeprint'))")
    printed = reader.run(
        "return [...document.querySelectorAll('#print tbody tr')].map((row) => row.cells[0].textContent)"
    )
    assert printed == ["flat"] * 12
    pdf = reader.chrome.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")
    reader.run("dispatchEvent(new Event('afterprint'))")
    assert reader.run("return document.getElementById('print')") is None
    reader.settle()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_follows_the_reader_s_colours(reader: Reader, scheme: str, dark: bool) -> None:
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    reader.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    reader.open()
    found = reader.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", found))) < 200) == dark
    assert reader.run("return Chart.defaults.color") == ("#e6edf3" if dark else "#1f2328")


def test_five_thousand_cells_are_sorted_and_filtered_without_drawing_them_all(
    chrome: Chrome, record: Maker, results: Gather, tmp_path: Path
) -> None:
    many = [
        record(
            f"demo/{name}@{backend},none,cpu,documented#{seed}",
            test=0.5 + (seed * 7919 % 5000) / 10_000,
            val=(0.6, 0.7),
            measure="accuracy",
        )
        for name in ("flat", "idle")
        for backend in ACCURACIES
        for seed in range(MANY // 4)
    ]
    (path,) = page.write(results([SUITE], many), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open("#view=cells&sort=-test")
    assert reader.find("#count").text == "5,000 rows"
    best = sorted((score.accuracy for one in many if (score := one.metrics.last.test)), reverse=True)
    drawn = reader.column("test")
    assert 10 < len(drawn) < 500
    assert drawn == [f"{100 * value:.2f}" for value in best[: len(drawn)]]
    reader.choose("backend", "torch")
    reader.search("idle")
    assert reader.find("#count").text == "1,250 of 5,000 rows"
    assert chrome.get_log("browser") == []
