"""`bench list` as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.backends.registry import backend
from bench.records.record import SCHEMA_VERSION
from tests.conftest import ROOT, call


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return call("list", *arguments), *capsys.readouterr()


def records(capsys: pytest.CaptureFixture[str], *patterns: str) -> dict[str, Any]:
    code, out, _ = run(capsys, "--json", *patterns)
    assert code == 0
    document = json.loads(out)
    assert document["schema_version"] == SCHEMA_VERSION
    return {f"{record['suite']}/{record['case']}": record for record in document["records"]}


def test_a_case_is_shown_with_parameters_figure_layers_and_the_marks_of_its_notes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, "imdb-rnn/lstm", "movie-reviews/gru")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, err) == (0, "")
    for first, second in (
        ("imdb-rnn/lstm 213,301 213,301 0.7910 test", "Embedding(5000,32) · LSTM(100) · Dense(1)"),
        (
            "movie-reviews/gru 545,401 45,401 0.7849 val ?",
            "Embedding(10000,50,GloVe,frozen) · GRU(100,reset_after=False) · Dense(1) (a)",
        ),
    ):
        assert lines[lines.index(first) + 1] == second


def test_notes_stand_under_the_table_and_unjudged_figures_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "*/word2vec-300", "*/lstm-16")
    words = " ".join(out.split())
    assert "0.7843 test ?" in words
    assert words.count("The document prints neither epochs nor batch size.") == 1
    assert "(a) The document prints neither epochs nor batch size." in words
    assert "another word's vector" in words
    assert "? not judged" in words


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "word-embeddings")
    header, *rows = [line for line in out.splitlines() if line.startswith(("case ", "word-embeddings/"))]
    end = header.index("parameters") + len("parameters")
    assert len(rows) > 1
    assert all(row[end - 1].isdigit() and row[end : end + 2] == "  " for row in rows)
    start = header.index("documented")
    assert all(row[start - 2 : start] == "  " and row[start] in "0-" for row in rows)


def test_json_lists_every_documented_case_with_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    listed = records(capsys)
    assert len(listed) == 42
    simple = listed["imdb-rnn/simple-rnn"]
    assert simple["documented"]["train"] == {"loss": 0.23753432908952235, "accuracy": 0.9356}
    assert simple["documented"]["epochs"][0] == {
        "loss": 0.6929,
        "accuracy": 0.5320,
        "val_loss": 0.6845,
        "val_accuracy": 0.5568,
        "seconds": 26,
        "step_ms": None,
    }
    assert simple["layers"][1] == {
        "kind": "SimpleRNN",
        "units": 100,
        "return_sequences": False,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
    }
    assert simple["training"]["validation"] == {"kind": "LastFraction", "fraction": 0.25}
    assert simple["parameters"]["total"] == simple["documented"]["total"] == 173_401
    assert listed["text-networks/word2vec-300"]["documented"]["frozen"] == 3000
    assert listed["text-networks/word2vec-300"]["parameters"]["frozen"] == 3_000_000
    assert listed["imdb-rnn/lstm-cudnn"]["requires"] == {"kernel": "fused", "device": "cuda"}
    assert listed["movie-reviews/lstm"]["layers"][0]["vectors"] == {"kind": "Glove", "dimension": 50}


def test_patterns_narrow_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(records(capsys, "*/simple-rnn")) == {"imdb-rnn/simple-rnn", "movie-reviews/simple-rnn"}


def test_json_describes_the_suites_of_the_listed_cases(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--json", "word-embeddings/glove-200")
    (suite,) = json.loads(out)["suites"]
    assert (suite["name"], suite["document"], suite["era"]["keras"]) == ("word-embeddings", "001", "2.3-2.10")
    assert "GPU" in suite["hardware"]


def test_an_unknown_pattern_ends_with_2_and_the_nearest_names(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "imdb-rnn/lstn")
    assert (code, out) == (2, "")
    assert "'imdb-rnn/lstn'; nearest: imdb-rnn/lstm" in err


def test_a_pattern_of_a_broken_suite_file_is_answered_with_what_is_wrong_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("from bench.spec import *\nLSTM(-3)\n")
    code, out, err = run(capsys, "--suites", str(broken), "my-suite")
    assert (code, out) == (2, "")
    assert err == f"bench: suite file {broken}, line 2: LSTM.units must be positive, got -3\n"


def test_a_broken_suite_file_is_reported_after_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from bench.spec import LSTM\nLSTM(0)\n", encoding="utf-8")
    code, out, err = run(capsys, "--suites", str(file))
    assert code == 2
    assert "imdb-rnn/lstm" in out
    assert f"suite file {file.resolve()}, line 2: LSTM.units must be positive, got 0" in err


def test_cells_are_those_of_a_bare_run(capsys: pytest.CaptureFixture[str]) -> None:
    reason = backend("torch").missing()
    if reason:
        pytest.skip(reason)
    code, out, _ = run(capsys, "--cells", "imdb-rnn/lstm")
    assert code == 0
    assert any(line.startswith("imdb-rnn/lstm@torch,generic,cpu,documented#0") for line in out.splitlines())


@pytest.mark.parametrize("columns", [80, 100])
def test_lines_of_cells_fit(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(capsys, "--cells", "imdb-rnn")
    if code == 3:
        pytest.skip(err)
    assert max(map(len, out.splitlines())) <= columns
    assert "imdb-rnn/lstm-cudnn@" in out


def test_listing_imports_neither_frameworks_nor_heavy_libraries() -> None:
    # Start-up time is kept by what is not imported; the measured figure is in docs/.
    script = (
        "import sys\n"
        "from bench.cli import main\n"
        "try:\n    main(['list'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'numpy', 'pandas', 'sqlite3', 'scipy', 'matplotlib', 'torch', 'tensorflow', 'keras', 'jax'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def on_a_terminal(columns: int, **environment: str) -> list[str]:
    """Return what `bench list imdb-rnn` shows on a terminal of that width."""
    import os
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "list", "imdb-rnn"],
        stdout=follower,
        env={**os.environ, "COLUMNS": str(columns), **environment},
        cwd=ROOT,
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # how the end of a terminal is told on Linux
        pass
    os.close(leader)
    assert process.wait() == 0
    return shown.decode().splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_are_as_wide_as_the_terminal_at_most_and_in_a_pipe_as_100_columns(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = on_a_terminal(columns, NO_COLOR="1")
    assert max(map(len, lines)) <= columns
    _, plain, _ = run(capsys, "imdb-rnn")
    assert max(map(len, plain.splitlines())) <= 100
    assert " ".join(lines).split() == plain.split(), "the same words in the same order, none cut in two"


def test_no_color_leaves_escapes_out() -> None:
    assert any("\033[" in line for line in on_a_terminal(100, NO_COLOR=""))
    assert not any("\033[" in line for line in on_a_terminal(100, NO_COLOR="1"))
