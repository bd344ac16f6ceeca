"""The page, read back by an HTML parser, and used in a headless Chromium as its readers use it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest
from msgspec import structs

from bench.report import page
from bench.report.results import Results
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
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


@pytest.fixture
def few(record: Maker, results: Gather) -> Results:
    """Two backends with three seeds and timing each, a failed, a diverged and a hostile cell, and a case not run."""
    runs = [
        record(f"demo/flat@{name},none,cpu,documented#{seed}", test=accuracy, val=(0.7, accuracy), measure="accuracy")
        for name, accuracies in ACCURACIES.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    runs += [
        record(f"demo/flat@{name},none,cpu,documented#0", epoch_seconds=(5.0, *seconds), measure="timing")
        for name, seconds in STEADY.items()
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
        assert row["accuracy"] == pytest.approx(fmean(ACCURACIES[name]))
        assert row["epoch"] == median(STEADY[name])
        assert (row["n"], row["documented"], row["status"]) == (3, 0.8, "ok")
    assert rows["demo/flat@torch,none,cpu,documented"]["ratio"] == pytest.approx(1.0 / 2.2)
    assert rows["demo/idle"]["status"] == "not run"
    assert rows["demo/lstm@torch,generic,cpu,documented"]["status"] == "failed"
    listed = page.cells(few)
    assert len(listed) == len({row["id"] for row in listed}) == 11


def test_a_configuration_whose_accuracy_failed_is_not_ok_though_it_was_timed(record: Maker, results: Gather) -> None:
    name = "demo/flat@torch,none,cpu,documented#0"
    timed = record(name, epoch_seconds=(5.0, 1.0), measure="timing")
    failed = record(name, measure="accuracy", status="failed", reason="it broke", data=None)
    rows = {row["id"]: row for row in page.configurations(results([SUITE], [timed, failed]))}
    row = rows["demo/flat@torch,none,cpu,documented"]
    assert (row["status"], row["n"], row["epoch"]) == ("failed", 0, 1.0)
    (alone, *_) = page.configurations(results([SUITE], [timed]))
    assert alone["status"] == "ok"


def test_what_tells_rows_apart_is_shown_at_first(few: Results, record: Maker, results: Gather) -> None:
    def shown(content: Results) -> dict[str, dict[str, bool]]:
        return {
            view["name"]: {one["field"]: one["shown"] for one in view["columns"]}
            for view in page.overview(content)["views"]
        }

    one = shown(results([SUITE], [record("demo/flat@torch,none,cpu,documented#0", test=0.7)]))
    assert not any(one["cells"][name] for name in ("device", "numerics", "repeat", "measure"))
    several = shown(few)
    assert several["cells"]["measure"]
    assert several["cells"]["numerics"]
    assert not several["configurations"]["device"]


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


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)")
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
        pytest.skip(f"{binary} does not start: {str(error).splitlines()[0]}")
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
    assert chrome.get_log("browser") == []


def test_it_sorts_with_missing_values_last(reader: Reader) -> None:
    reader.open()
    reader.click("#views [value=cells]")
    assert len(reader.column("accuracy")) == 11
    header = '[data-view=cells] .tabulator-col[tabulator-field="accuracy"]'
    expected = sorted([*(100 * one for ones in ACCURACIES.values() for one in ones), 50.0])
    missing = ["–"] * 4
    reader.click(header)
    assert reader.column("accuracy") == [f"{value:.2f}" for value in reversed(expected)] + missing
    assert "sort=-accuracy" in reader.fragment()
    reader.click(header)
    assert reader.column("accuracy") == [f"{value:.2f}" for value in expected] + missing
    assert "sort=accuracy" in reader.fragment()


def test_filters_narrow_table_plots_and_address_and_are_kept_there(reader: Reader) -> None:
    reader.open()
    assert reader.find("#count").text == "5 rows"
    assert reader.points() == 2
    reader.choose("backend", "torch")
    assert set(reader.column("backend")) == {"torch"}
    assert reader.find("#count").text == "3 of 5 rows"
    assert (reader.points(), len(reader.curves())) == (1, 4)
    reader.choose("status", "ok")
    assert reader.fragment() == "#backend=torch&status=ok"
    assert reader.column("case") == ["flat"]
    reader.choose("status", "failed")
    assert len(reader.column("case")) == 3
    reader.open(reader.run("return location.hash"))
    assert reader.find("#count").text == "3 of 5 rows"
    assert reader.find("[data-facet=status] summary").text.startswith("status: ok, failed")
    reader.click("#filter [type=reset]")
    assert (reader.find("#count").text, reader.fragment()) == ("5 rows", "")


def test_an_empty_plot_says_why_and_curves_are_of_a_kind_that_is_there(reader: Reader) -> None:
    reader.open("#q=nosuchthing")
    nothing = "return [...document.querySelectorAll('#plots .canvas')].map((one) => one.dataset.nothing)"
    why = ["No row in the table has accuracy and epoch.", "No cell in the table has a validation accuracy by epoch."]
    assert reader.run(nothing) == why
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
    assert reader.find("#count").text == "0 of 5 rows"
    reader.click("#views [value=cells]")
    assert reader.column("reason") == ["it broke"]
    assert reader.fragment() == "#view=cells&q=BROKE torch"


def test_a_changed_address_changes_the_page(reader: Reader) -> None:
    reader.open()
    reader.run("location.hash = 'view=cells&case=flat&sort=epoch&column=epoch&column=case'")
    reader.settle()
    assert len(reader.column("case")) == 8
    assert reader.column("epoch")[:2] == ["1.00", "2.20"]
    assert reader.column("backend") == []


def test_columns_are_chosen(reader: Reader) -> None:
    reader.open()
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
    assert reader.run("return Chart.getChart(document.querySelector('#details canvas')).data.datasets[1].data") == [
        70,
        80,
    ]
    reader.keys(Keys.ARROW_RIGHT)
    assert reader.run(title) == "demo/flat@torch,none,cpu,documented#0 timing ok"
    assert "1, 1.1, 0.9" in reader.find("#details").text
    reader.keys(Keys.ARROW_LEFT)
    assert reader.run(title).startswith("demo/flat@torch,none,cpu,documented#0 accuracy")


def test_counts_have_all_their_digits(chrome: Chrome, record: Maker, results: Gather, tmp_path: Path) -> None:
    """Show a median of two counts in the table, and a count in the details of a cell."""
    cells = [f"demo/flat@torch,none,cpu,documented#{seed}" for seed in range(2)]
    (path,) = page.write(results([SUITE], [record(cell, test=0.7, counts=[3_480_033]) for cell in cells]), tmp_path)
    reader = Reader(chrome, path.as_uri())
    reader.open()
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
    reader.open()
    reader.click("[data-view=configurations] .tabulator-row .tabulator-cell")
    buttons = [one.text for one in reader.chrome.find_elements(By.CSS_SELECTOR, "#details li button")]
    flat = "demo/flat@keras-tensorflow,none,cpu,documented"
    assert buttons == [f"{flat}#0 accuracy", f"{flat}#0 timing", f"{flat}#1 accuracy", f"{flat}#2 accuracy"]
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
    assert "open=demo/flat@torch,none,cpu,documented" in reader.fragment()
    reader.keys(Keys.ESCAPE)
    reader.run("document.querySelector('.tabulator-col[tabulator-field=epoch]').focus()")
    reader.keys(Keys.ENTER)
    assert "sort=-epoch" in reader.fragment()


def test_hostile_text_is_shown_and_does_nothing(reader: Reader) -> None:
    reader.open("#view=cells&q=onerror&column=case&column=backend&column=numerics&column=stand_in")
    for field in ("case", "backend", "numerics", "stand_in"):
        assert len(reader.column(field)) == 1
        assert reader.column(field)[0].startswith('<img src=x onerror="window.hacked=1"></script>')
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
    assert printed == ["flat"] * 8
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
    reader.open("#view=cells&sort=-accuracy")
    assert reader.find("#count").text == "5,000 rows"
    best = sorted((score.accuracy for one in many if (score := one.metrics.last.test)), reverse=True)
    drawn = reader.column("accuracy")
    assert 10 < len(drawn) < 500
    assert drawn == [f"{100 * value:.2f}" for value in best[: len(drawn)]]
    reader.choose("backend", "torch")
    reader.search("idle")
    assert reader.find("#count").text == "1,250 of 5,000 rows"
    assert chrome.get_log("browser") == []
