"""Suites are found by path, broken files hide no others, and patterns select cases and cells."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench.cases.catalog import load, matches
from bench.errors import UsageError

GOOD = """
from bench.spec import *

SUITE = Suite("{name}", document="9", title="A suite of mine", era=KERAS_3, cases=(
    Case(
        "pool",
        data=Imdb(num_words=10, maxlen=5),
        layers=(Embedding(10, 4), GlobalAveragePooling1D(), Dense(1, "sigmoid")),
        training=Training("adam", epochs=1),
    ),
))
"""


def write(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.write_text(text, encoding="utf-8")
    return path


def only_error(path: Path) -> str:
    """Load one broken file and return what is said of it; the suites of the documents must still be there."""
    catalog = load([path])
    assert {suite.document for suite in catalog.suites.values()} >= {"000", "001", "002", "003"}
    (error,) = catalog.errors
    return str(error)


PRINTED = 'training=Training("adam", epochs=1), documented=Documented({printed}),'


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("total=5", ["line 5, case 'pool'", "Documented.total is 5,", "layers have 45;"]),
        ("layers=(40, 0, 5), frozen=40", ["Documented.frozen is 40,", "layers have 0;"]),
        ("layers=(40, 6), trainable=46", ["Documented.layers is 40 + 6,", "layers have 40 + 5;", "trainable is 46,"]),
        ("total=45, misprint='45, not 54'", ["Documented.misprint is given, but every count agrees"]),
    ],
)
def test_a_printed_count_that_the_layers_do_not_have_is_an_error_of_the_file(
    printed: str, told: list[str], tmp_path: Path
) -> None:
    text = GOOD.format(name="one").replace('training=Training("adam", epochs=1),', PRINTED.format(printed=printed))
    error = only_error(write(tmp_path, "one.py", text))
    assert all(part in error for part in told), error


@pytest.mark.parametrize("printed", ["layers=(40, 0, 5), total=45, frozen=0", "total=54, misprint='45, not 54'"])
def test_a_printed_count_agrees_or_the_case_says_that_the_document_errs(printed: str, tmp_path: Path) -> None:
    text = GOOD.format(name="one").replace('training=Training("adam", epochs=1),', PRINTED.format(printed=printed))
    assert "one" in load([write(tmp_path, "one.py", text)]).suites


# --- finding -----------------------------------------------------------------------------------------------------


def test_ours_come_without_asking() -> None:
    catalog = load()
    assert list(catalog.suites) == [
        "imdb-rnn",
        "keras-io",
        "movie-reviews",
        "rnn-benchmarks",
        "text-networks",
        "word-embeddings",
    ]
    assert catalog.errors == ()


def test_a_named_file_or_folder_adds_suites(tmp_path: Path) -> None:
    one = write(tmp_path, "one.py", GOOD.format(name="one"))
    assert "one" in load([one]).suites
    write(tmp_path, "two.py", GOOD.format(name="two"))
    write(tmp_path, "_helper.py", "raise RuntimeError('files that start with an underscore are not suites')")
    catalog = load([tmp_path])
    assert {"one", "two"} < set(catalog.suites)
    assert catalog.files["one"] == one.resolve()
    assert catalog.errors == ()


def test_a_file_named_twice_is_one_suite(tmp_path: Path) -> None:
    file = write(tmp_path, "one.py", GOOD.format(name="one"))
    assert load([file, tmp_path, tmp_path / ".." / tmp_path.name / "one.py"]).errors == ()


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suites").mkdir()
    write(tmp_path / "suites", "imdb_rnn.py", "raise RuntimeError('imported by accident')")
    write(tmp_path, "imdb_rnn.py", "raise RuntimeError('imported by accident')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load()
    assert catalog.errors == ()
    assert catalog.files["imdb-rnn"].parent != tmp_path / "suites"
    assert "imdb_rnn" not in sys.modules
    assert "suites" not in sys.modules


def test_installed_distributions_bring_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_suites"
    package.mkdir()
    write(package, "__init__.py", "raise RuntimeError('a package of suites is not imported')")
    write(package, "theirs.py", GOOD.format(name="theirs"))
    write(tmp_path, "single_suite.py", GOOD.format(name="single"))
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    write(info, "METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    write(
        info,
        "entry_points.txt",
        "[twinbench.suites]\nfolder = their_suites\nfile = single_suite\ngone = no_such_module_anywhere\n"
        "leaves = leaving.inside\nbreaks = breaking.inside\n",
    )
    for name, text in (("leaving", "raise SystemExit(9)"), ("breaking", "1 / 0")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "__init__.py", text)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load()
    assert {"theirs", "single"} < set(catalog.suites)
    told = {"gone": "no_such_module_anywhere", "leaves": "SystemExit: 9", "breaks": "ZeroDivisionError"}
    assert len(catalog.errors) == len(told)
    for error, (name, what) in zip(catalog.errors, told.items(), strict=True):
        assert f"entry point {name!r}" in str(error)
        assert what in str(error)


def test_a_path_without_suites_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.py does not exist"):
        load([tmp_path / "nowhere.py"])
    with pytest.raises(UsageError, match="holds no suite file"):
        load([tmp_path])


# --- broken files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (
            "GlobalAveragePooling1D()",
            "LSTM(-3)",
            "line 8, case 'pool': LSTM.units must be positive, got -3",
        ),
        (
            "GlobalAveragePooling1D()",
            "LSTM(unit=3)",
            "line 8, case 'pool': LSTM.units is missing; add units=...; unknown field of LSTM 'unit'; nearest: units",
        ),
        (
            "GlobalAveragePooling1D()",
            "LSTM(3, recurrent_activation='tanh')",
            "line 8, case 'pool': LSTM.recurrent_activation must be 'sigmoid', 'hard_sigmoid' or "
            "'hard_sigmoid_keras2', got 'tanh'",
        ),
        (
            "GlobalAveragePooling1D()",
            "Bidirectional(Dense(3))",
            "line 8, case 'pool': Bidirectional.layer must be one of SimpleRNN, LSTM, GRU, got Dense(units=3, ",
        ),
        (
            "GlobalAveragePooling1D()",
            "'pool'",
            "line 5, case 'pool': Case.layers[1] must be one of Embedding, Flatten, ",
        ),
        (
            "GlobalAveragePooling1D()",
            "LSTN(3)",
            "line 8, case 'pool': twinbench has no LSTN; layers: Embedding, Flatten, ",
        ),
        ("Imdb(num", "Imbd(num", "line 7, case 'pool': twinbench has no Imbd; nearest: Imdb"),
        ("GlobalAveragePooling1D()", "lstm(3)", "line 8, case 'pool': NameError: name 'lstm' is not defined"),
        (
            "import *",
            "import LSTM, MultiHeadAttention",
            "line 2: twinbench has no MultiHeadAttention; layers: Embedding, Flatten, ",
        ),
        ("GlobalAveragePooling1D(), ", "", "case 'pool': the last layer gives"),
        ("GlobalAveragePooling1D()", "Flatten(), LSTM(3)", "case 'pool': layer lstm needs (time, features)"),
        ('"sigmoid"', '"relu"', "line 5, case 'pool': Case: layers must end with Dense(1, 'sigmoid')"),
        ('"pool"', '"Pool_1"', "case 'Pool_1': Case.name must be lower-case words and digits joined by hyphens, got "),
        ('"adam", epochs=1', '"adam"', "line 9, case 'pool': Training.epochs is missing; add epochs=..."),
        (
            '"adam"',
            '"adam", 1, 2, 3.0, None, None, None, None, None, None, 8',
            "Training takes 10 arguments: optimizer, epochs, ",
        ),
        ('"adam"', '"sgd"', "Training.optimizer must be 'adam' or 'rmsprop', or one of SGD, AdamW, got 'sgd'"),
        ('"adam"', "SGD(0.9), clipnorm=1, clipvalue=1", "Training: Keras clips gradients once; give one of"),
        ("maxlen=5", "maxlen=", "line 7: SyntaxError: "),
        ('document="9"', "document=9", "line 4: Suite.document "),
        ("SUITE = ", "SUITES = ", "declares no suite; add SUITE = Suite(...)"),
        ("from bench.spec", "from bench.specs", "line 2: ModuleNotFoundError: No module named 'bench.specs'"),
        ("SUITE = ", "raise SystemExit(3)\nSUITE = ", "line 4: SystemExit: 3"),
    ],
)
def test_errors_name_file_line_case_field_and_remedy(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    file = write(tmp_path, "mine.py", GOOD.format(name="mine").replace(wrong, right))
    message = only_error(file)
    assert message.startswith(f"suite file {file.resolve()}")
    assert said in message


def test_a_case_made_by_a_helper_is_named_as_the_helper_writes_it(tmp_path: Path) -> None:
    text = """
from bench.spec import *

def sized(units):
    return Case(
        f"lstm-{units}",
        data=Imdb(num_words=10, maxlen=5),
        layers=(Embedding(10, 4), LSTM(units), Dense(1, "sigmoid")),
        training=Training("adam", epochs=1),
    )

SUITE = Suite("mine", document="9", title="mine", era=KERAS_3, cases=(sized(3), sized(0)))
"""
    message = only_error(write(tmp_path, "mine.py", text))
    assert re.search(r"line 8, case f'lstm-\{units\}': LSTM.units must be positive, got 0", message)


def test_every_broken_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "nonsense(")
    write(tmp_path, "b.py", "SUITE = 3")
    write(tmp_path, "c.py", GOOD.format(name="fine"))
    catalog = load([tmp_path])
    assert "fine" in catalog.suites
    assert [Path(str(error).split(",")[0].split()[2]).name for error in catalog.errors] == ["a.py", "b.py"]


def test_a_suite_name_used_twice_names_both_files(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", GOOD.format(name="imdb-rnn"))
    catalog = load([file])
    (error,) = catalog.errors
    assert str(file.resolve()) in str(error)
    assert "imdb_rnn.py" in str(error)
    assert catalog.suites["imdb-rnn"].document == "000"


# --- selecting ---------------------------------------------------------------------------------------------------


def names(*patterns: str) -> list[str]:
    return [f"{suite.name}/{case.name}" for suite, case in load().select(patterns)]


def test_no_pattern_selects_everything() -> None:
    catalog = load()
    assert len(catalog.select([])) == sum(len(suite.cases) for suite in catalog.suites.values())


def test_patterns_are_globs_over_case_names_and_add_up() -> None:
    assert names("imdb-rnn/lstm") == ["imdb-rnn/lstm"]
    assert names("*/simple-rnn") == ["imdb-rnn/simple-rnn", "movie-reviews/simple-rnn"]
    assert names("*/simple-rnn", "imdb-rnn/simple-rnn", "*/gru") == [
        "imdb-rnn/simple-rnn",
        "movie-reviews/simple-rnn",
        "movie-reviews/gru",
    ]
    assert names("word-embeddings/glove-[25]00") == ["word-embeddings/glove-200", "word-embeddings/glove-500"]


def test_a_bare_suite_name_stands_for_its_cases_and_a_cell_pattern_for_its_case() -> None:
    assert names("imdb-rnn") == names("imdb-rnn/*")
    assert len(names("imdb-rnn")) == 6
    assert names("imdb-rnn/lstm*@torch,*") == ["imdb-rnn/lstm", "imdb-rnn/lstm-cudnn"]


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("imdb_rnn", "imdb-rnn"),
        ("imdb-rnn/lstn", "imdb-rnn/lstm"),
        ("lstm", "imdb-rnn/lstm"),
        ("imdb-rnn/gru@torch", ""),
    ],
)
def test_a_pattern_without_a_case_is_refused_with_the_nearest_names(pattern: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"'{pattern.partition('@')[0]}'; nearest: .*{nearest}"):
        names("imdb-rnn/lstm", pattern)


def test_a_case_is_found_by_its_full_name_alone() -> None:
    suite, case = load().case("imdb-rnn/lstm")
    assert (suite.name, case.name) == ("imdb-rnn", "lstm")
    with pytest.raises(UsageError, match=r"unknown case 'imdb-rnn/lst\*'; nearest: imdb-rnn/lstm"):
        load().case("imdb-rnn/lst*")


CELL = "imdb-rnn/lstm@torch,fused,cpu,documented#3"


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "imdb-rnn",
        "imdb-rnn/lstm",
        "*/lstm*@torch,*",
        "*/lstm@torch",
        "*/lstm@torch#3",
        "imdb-rnn@*,cpu,*",
        "*@torch,fused,cpu,documented#[0-4]",
        "*@#3",
        CELL,
    ],
)
def test_patterns_that_match_a_cell(pattern: str) -> None:
    assert matches(CELL, [pattern])
    assert matches(CELL, ["no/such", pattern])


@pytest.mark.parametrize(
    "pattern",
    ["", "imdb", "lstm", "imdb-rnn/lst", "*/lstm@torc", "*/lstm@fused", "*@torch,generic", "*@torch#4", "*@torch,*#33"],
)
def test_patterns_that_do_not_match_a_cell(pattern: str) -> None:
    assert not matches(CELL, [pattern])


def test_no_pattern_matches_every_name() -> None:
    assert matches(CELL, [])
