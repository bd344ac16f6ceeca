from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import csvfile
from bench.errors import DataError


def document_003_load_data(path: Path) -> tuple[list[str], list[str]]:
    """Document 003's `load_data`, word for word but for the path."""
    x = []
    y = []
    with open(path, encoding="utf-8") as f:
        _ = next(f)
        for line in f:
            temp_y, temp_x = line.rstrip("\n").split(",", 1)
            x.append(temp_x.replace("'", ""))
            y.append(temp_y)
    return x, y


@pytest.fixture
def path(data_folder: Path) -> Path:
    return data_folder / "movie_reviews.csv"


LINE = st.builds(
    "{},{}x{}".format,
    st.sampled_from("01"),
    st.text("ab ,\"'é\x85\u2028\x0b", max_size=9),
    st.sampled_from(["\n", "\r\n", "\r"]),
)


@given(lines=st.lists(LINE), both=st.just(["0,zero\n", "1,one\n"]))
def test_lines_are_read_as_document_003_reads_them(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], both: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "movie_reviews.csv"
    path.write_bytes("".join(["label,text\n", *both, *lines]).encode())

    texts, labels = csvfile.load(path)

    expected_texts, expected_labels = document_003_load_data(path)
    assert [text.replace("'", "") for text in texts] == expected_texts
    assert labels == [int(label) for label in expected_labels]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"2,text", "line 3: the label must be 0 or 1, got '2'"),
        (b'"1",text', "line 3: the label must be 0 or 1"),
        (b'1," "', "line 3: the text is empty"),
        (b"1,", "line 3: the text is empty"),
        (b"1", "line 3: no comma"),
        (b"", "line 3: no comma"),
        (b"1,caf\xe9", "line 3: not UTF-8 (0xe9)"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(path: Path, line: bytes, message: str) -> None:
    path.write_bytes(b"label,text\n0,fine\n" + line + b"\n1,fine\n")

    with pytest.raises(DataError) as error:
        csvfile.load(path)

    assert f"{path}, {message}" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"label,text\n", b"label,text\n1,only\n1,ones\n"])
def test_a_file_without_both_labels_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(DataError, match="not both labels"):
        csvfile.load(path)


def test_a_cut_gzip_is_refused(data_folder: Path) -> None:
    path = data_folder / "reviews.csv.gz"
    path.write_bytes(gzip.compress(b"label,text\n0,a\n1,b\n" * 50)[:-9])

    with pytest.raises(DataError, match="cannot be read"):
        csvfile.load(path)


@pytest.mark.realdata
def test_sentence_polarity_has_its_published_size(data_folder: Path) -> None:
    texts, labels = csvfile.load(data_folder / "rt_polarity.csv.gz")

    assert (len(texts), sum(labels)) == (10_662, 5_331)
