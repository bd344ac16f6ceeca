"""A user's own arrays: what goes in comes out, and whatever does not fit is refused by name, place and remedy."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_preprocessing.sequence import pad_sequences
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from bench.data import npz, prepare, sources, stand_ins_for
from bench.errors import DataError, Unavailable, UsageError
from bench.spec import Arrays, Embedding

RANDOM = np.random.RandomState(0)
ROWS, TIME, WIDTH, WORDS = 30, 4, 3, 20
X = RANDOM.standard_normal((ROWS, TIME, WIDTH))
Y = RANDOM.permutation(np.arange(ROWS) % 2)
IDS = RANDOM.randint(0, WORDS, (ROWS, TIME))
FLOATS = Arrays("own.npz", shape=(TIME, WIDTH), test=0.2)
WORD_IDS = Arrays("own.npz", num_words=WORDS, maxlen=TIME, test=0.2)


def save(folder: Path, name: str = "own.npz", **arrays: Any) -> Path:
    np.savez(folder / name, **{"x": X, "y": Y, **arrays})
    return folder / name


def table(folder: Path, name: str = "own.parquet", **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def refused(data: Arrays, classes: int | None = None) -> str:
    with pytest.raises(DataError) as error:
        prepare(data, None, {}, classes)
    return str(error.value)


# --- npz ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", ">f4", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_by_name_come_out_as_they_went_in(data_folder: Path, dtype: str, order: Any) -> None:
    x = (np.abs(X) * 50).astype(dtype)
    with np.errstate(over="ignore"):
        save(data_folder, a=np.asarray(x[:20], order=order), b=Y[:20], c=x[20:26], d=Y[20:26, None], e=x[26:], f=Y[26:])
    data = Arrays("own.npz", "a", "b", shape=(TIME, WIDTH), validation=("c", "d"), test=("e", "f"))

    dataset = prepare(data, None, {})

    assert dataset.validation is not None
    assert dataset.test is not None
    parts = (dataset.train, dataset.validation, dataset.test)
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), x.astype(np.float32))  # type: ignore[misc]
    np.testing.assert_array_equal(np.concatenate([part.y for part in parts]), Y)
    assert all(part.x[np.arange(2)].dtype == np.float32 == part.y.dtype for part in parts)
    assert isinstance(dataset.train.x, np.memmap)
    assert (dataset.name, dataset.stand_in, dataset.vectors) == ("own.npz", None, None)


def test_rows_without_time_and_ids_come_out_as_they_went_in(data_folder: Path) -> None:
    save(data_folder, x=IDS.astype(np.uint16), flat=X[:, 0])

    ids = prepare(replace(WORD_IDS, test=("x", "y")), Embedding(WORDS, 2), {})
    flat = prepare(Arrays("own.npz", "flat", shape=(WIDTH,), test=("flat", "y")), None, {})

    np.testing.assert_array_equal(ids.train.x, IDS)
    assert np.asarray(ids.train.x).dtype == np.int32
    np.testing.assert_array_equal(flat.train.x, X[:, 0].astype(np.float32))


def test_shares_are_those_of_scikit_learn_taken_one_after_the_other(data_folder: Path) -> None:
    save(data_folder)
    dataset = prepare(replace(FLOATS, test=0.2, validation=0.1, split_seed=7), None, {})

    rest, test = train_test_split(np.arange(ROWS), test_size=0.2, random_state=7, stratify=Y)
    train, validation = train_test_split(rest, test_size=3, random_state=7, stratify=Y[rest])

    for part, rows in ((dataset.train, train), (dataset.validation, validation), (dataset.test, test)):
        assert part is not None
        np.testing.assert_array_equal(part.x, X[rows].astype(np.float32))
        np.testing.assert_array_equal(part.y, Y[rows])


def test_classes_are_whole_numbers_where_the_case_tells_them_apart(data_folder: Path) -> None:
    save(data_folder, y=np.arange(ROWS) % 3)

    found = prepare(FLOATS, None, {}, classes=3)

    assert found.train.y.dtype == np.int32
    assert set(found.train.y.tolist()) == {0, 1, 2}
    assert "own.npz, train row" in refused(FLOATS)
    assert "the label must be 0 or 1, got 2; " in refused(FLOATS)
    assert "a softmax over as many classes" in refused(FLOATS)


def test_the_cache_is_found_again_and_forgets_a_file_that_changed(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(data_folder)
    first = prepare(FLOATS, None, {})
    with monkeypatch.context() as patched:
        patched.setattr(npz, "load", None)
        assert prepare(FLOATS, None, {}).sha256 == first.sha256

    save(data_folder, x=X + 1)
    assert prepare(FLOATS, None, {}).sha256 != first.sha256


@pytest.mark.parametrize(
    ("arrays", "data", "message"),
    [
        ({}, replace(FLOATS, x="xs"), "unknown array 'xs'; nearest: x"),
        ({}, replace(FLOATS, test=("x_test", "y")), "unknown array 'x_test'"),
        ({"y": Y[:-1]}, FLOATS, "own.npz, x: 30 rows, and y has 29"),
        ({"x": X[:0], "y": Y[:0]}, FLOATS, "own.npz, x: no rows"),
        ({"x": X[0, 0, 0]}, FLOATS, "x: has shape (), and (rows, 4, 3) is declared"),
        ({"x": X[:, 0]}, FLOATS, "x: has shape (30, 3), and (rows, 4, 3) is declared"),
        ({"x": X.astype(complex)}, FLOATS, "x: holds complex128, not numbers"),
        ({"x": np.full((ROWS, TIME, WIDTH), "a")}, FLOATS, "x: holds <U1, not numbers"),
        ({"x": X.astype([("a", "f8")])}, FLOATS, "not numbers"),
        ({"x": np.where(np.arange(ROWS)[:, None, None] == 7, np.nan, X)}, FLOATS, "x, row 7, at (0, 0): nan"),
        ({"x": np.where(np.arange(WIDTH) == 2, -np.inf, X)}, FLOATS, "x, row 0, at (0, 2): -inf"),
        ({"x": X + 1e300}, FLOATS, "x, row 0, at (0, 0): 1e+300 exceeds a float32"),
        ({"y": 0 * Y}, FLOATS, "own.npz: every training row has the label 0; give rows of two at least"),
        ({"y": Y * 1.5}, FLOATS, "y, row "),
        ({"y": Y - 1}, FLOATS, "the label -1; labels are whole numbers from 0 on"),
        ({"y": Y * np.nan}, FLOATS, "y, row 0: the label nan"),
        ({"y": np.eye(2)[Y]}, FLOATS, "y: has shape (30, 2), and labels are (rows,); of one-hot rows save y.argmax(1)"),
        ({"y": Y.astype(str)}, FLOATS, "and labels are numbers from 0 on"),
        ({"y": np.r_[1, np.zeros(ROWS - 1, int)]}, FLOATS, "own.npz: cannot be split"),
        ({"x": IDS[:, :2]}, WORD_IDS, "x: has shape (30, 2), and ids are (rows, 4), as maxlen declares"),
        ({"x": IDS * 1.0}, WORD_IDS, "x: holds float64, and num_words declares ids"),
        ({"x": IDS + 1}, replace(WORD_IDS, num_words=int(IDS.max()) + 1), f"the id {IDS.max() + 1}; ids are 0 to "),
        ({"x": np.where(np.arange(ROWS)[:, None] == 9, -1, IDS)}, WORD_IDS, "x, row 9: the id -1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(
    data_folder: Path, arrays: dict[str, Any], data: Arrays, message: str
) -> None:
    save(data_folder, **arrays)

    assert message in refused(data)


class Executed:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return pytest.fail, ("the pickle was executed",)


def npy(header: str, content: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + header.encode("latin1") + content


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"
OBJECTS = npy(HEADER.format("|O", "(30,)"), pickle.dumps([Executed()] * 30))
HOSTILE = {
    "objects": (OBJECTS, "own.npz, x: holds Python objects, which are not read"),
    "objects in fields": (npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (30,), }\n", b""), "objects"),
    "too large a shape": (npy(HEADER.format("<f8", "(10**15,)"), b""), "not an archive as np.savez writes it"),
    "far too large a shape": (npy(HEADER.format("<f8", "(1000000000000000,)"), b""), "announces 8,000,000,000,000,000"),
    "a negative shape": (npy(HEADER.format("<f8", "(-1,)"), b"12345678"), "not an archive as np.savez writes it"),
    "too little": (npy(HEADER.format("<f8", "(30, 4, 3)"), bytes(8)), "announces 2,880 bytes and holds others"),
    "another format": (npy(HEADER.format("<f8", "(1,)"), bytes(8), (9, 0)), "not an archive as np.savez writes it"),
    "a header that is code": (npy("__import__('os').abort()\n", b""), "not an archive as np.savez writes it"),
    "a long header": (npy(HEADER.format("<f8", "(" + "1," * 20_000 + ")"), b"", (2, 0)), "not an archive"),
    "no array": (b"no array", "not an archive as np.savez writes it"),
    "nothing": (b"", "not an archive as np.savez writes it"),
}


@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_members_are_refused_and_never_executed(data_folder: Path, content: str) -> None:
    written, message = HOSTILE[content]
    with zipfile.ZipFile(save(data_folder, "y.npz")) as saved, zipfile.ZipFile(data_folder / "own.npz", "w") as archive:
        archive.writestr("x.npy", written)
        archive.writestr("y.npy", saved.read("y.npy"))

    assert message in refused(FLOATS)


def test_an_array_of_objects_as_numpy_saves_it_is_refused_with_the_remedy(data_folder: Path) -> None:
    rows = np.empty(ROWS, object)
    rows[:] = [[1, 2], [3]] * (ROWS // 2)
    save(data_folder, x=rows)

    assert "rows of different lengths padded or in a Parquet file" in refused(WORD_IDS)


def test_a_cut_archive_and_other_files_are_refused(data_folder: Path) -> None:
    path = save(data_folder)
    content = path.read_bytes()
    array = io.BytesIO()
    np.save(array, X)
    for damaged in (content[:-40], content[:200], b"", array.getvalue(), pickle.dumps(Executed())):
        path.write_bytes(damaged)
        assert "own.npz is not an archive as np.savez writes it" in refused(FLOATS)


@given(place=st.integers(0, 10**4), byte=st.integers(0, 255))
def test_any_changed_byte_gives_the_same_arrays_or_an_error(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = save(tmp_path_factory.mktemp("npz"))
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        found = npz.load(path, ["x", "y"])
    except DataError:
        return
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["y"], Y)


def test_a_bomb_is_refused_before_it_is_unpacked(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(data_folder / "own.npz", x=np.zeros((ROWS, TIME, WIDTH * 10_000)), y=Y)
    assert (data_folder / "own.npz").stat().st_size < 100_000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20_000_000))
    monkeypatch.setattr(npz, "_read", None)

    message = refused(replace(FLOATS, shape=(TIME, WIDTH * 10_000)))
    assert "own.npz" in message
    assert "memory" in message


# --- Parquet -----------------------------------------------------------------------------------------------------

LISTS = [RANDOM.randint(1, WORDS, RANDOM.randint(0, 2 * TIME)).tolist() for _ in range(ROWS)]
IN_LISTS = replace(WORD_IDS, file="own.parquet")
IN_COLUMNS = Arrays("own.parquet", ("a", "b"), shape=(2,), test=0.2)
NESTED = replace(FLOATS, file="own.parquet")


@pytest.mark.parametrize(("padding", "truncating"), [("pre", "pre"), ("post", "post"), ("pre", "post")])
def test_lists_of_ids_are_padded_as_keras_pads_them(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, padding: Any, truncating: Any
) -> None:
    monkeypatch.setattr(np, "unicode_", np.str_, raising=False)  # keras_preprocessing was written for NumPy 1
    table(data_folder, x=pa.array(LISTS, pa.list_(pa.int16())), y=Y)
    table(data_folder, "held.parquet", x=pa.array(LISTS[:9], pa.list_(pa.int16())), y=Y[:9])
    data = replace(IN_LISTS, test="held.parquet", padding=padding, truncating=truncating)

    dataset = prepare(data, Embedding(WORDS, 2), {})

    expected = pad_sequences(LISTS, maxlen=TIME, padding=padding, truncating=truncating)
    np.testing.assert_array_equal(dataset.train.x, expected)
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.test.x, expected[:9])


def test_columns_and_lists_of_lists_are_numbers(data_folder: Path) -> None:
    frame = pd.DataFrame({"a": X[:, 0, 0], "b": np.arange(ROWS, dtype=np.int8), "y": Y})
    frame.to_parquet(data_folder / "own.parquet", row_group_size=7)
    np.testing.assert_array_equal(
        prepare(replace(IN_COLUMNS, test="own.parquet"), None, {}).train.x, frame[["a", "b"]].to_numpy(np.float32)
    )

    for kind in (pa.list_(pa.list_(pa.float32())), pa.list_(pa.list_(pa.float64(), WIDTH), TIME)):
        table(data_folder, x=pa.array(X.tolist(), kind), y=Y)
        found = prepare(replace(NESTED, test="own.parquet"), None, {}).train
        np.testing.assert_array_equal(found.x, X.astype(np.float32))
        np.testing.assert_array_equal(found.y, Y)
    table(data_folder, x=X[:, 0].tolist(), y=Y)
    flat = prepare(replace(NESTED, shape=(WIDTH,), test="own.parquet"), None, {}).train
    np.testing.assert_array_equal(flat.x, X[:, 0].astype(np.float32))


def changed(values: NDArray[Any], row: int, value: Any) -> list[Any]:
    """Return an array as lists, one of them with another value."""
    lists = values.tolist()
    lists[row] = value
    return list(lists)


@pytest.mark.parametrize(
    ("columns", "data", "message"),
    [
        ({"x": LISTS}, IN_LISTS, "unknown column 'y'; known: x"),
        ({"x": [*LISTS[:-1], None], "y": Y}, IN_LISTS, "column x, row 29: null"),
        ({"x": [*LISTS[:5], [1, None], *LISTS[6:]], "y": Y}, IN_LISTS, "column x, row 5: a null in the list"),
        ({"x": LISTS, "y": changed(Y, 3, None)}, IN_LISTS, "column y, row 3: null"),
        ({"x": [*LISTS[:8], [3, WORDS], *LISTS[9:]], "y": Y}, IN_LISTS, f"column x, row 8: the id {WORDS}"),
        ({"x": X[:, 0].tolist(), "y": Y}, IN_LISTS, "holds float64, and num_words declares ids"),
        ({"x": [["a"]] * ROWS, "y": Y}, IN_LISTS, "column x: holds string, not numbers"),
        ({"x": Y, "y": Y}, IN_LISTS, "ids are a column of lists"),
        ({"x": LISTS, "y": Y.astype(str)}, IN_LISTS, "column y: holds string, not numbers"),
        ({"x": LISTS[:0], "y": Y[:0]}, IN_LISTS, "not numbers"),
        ({"a": X[:, 0, 0], "b": changed(X[:, 0, 1], 4, np.nan), "y": Y}, IN_COLUMNS, "column b, row 4: nan"),
        ({"a": X[:, 0, 0], "b": Y.astype(str), "y": Y}, IN_COLUMNS, "column b: holds string, not numbers"),
        ({"a": X[:, 0].tolist(), "b": Y, "y": Y}, IN_COLUMNS, "column a: holds list"),
        ({"x": changed(X, 6, X[0, :3].tolist()), "y": Y}, NESTED, "row 6: 3 items, and shape (4, 3) declares 4"),
        ({"x": changed(X, 6, [*X[0, :3].tolist(), [1.0]]), "y": Y}, NESTED, "row 6: 1 items, and shape (4, 3)"),
        ({"x": X[:, 0].tolist(), "y": Y}, replace(NESTED, shape=(WIDTH, 2)), "column x"),
        ({"x": changed(X, 2, (X[2] * np.inf).tolist()), "y": Y}, NESTED, "column x, row 2, at (0, 0): "),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_name(
    data_folder: Path, columns: dict[str, Any], data: Arrays, message: str
) -> None:
    table(data_folder, **columns)

    assert message in refused(data)


def test_damaged_parquet_and_missing_pyarrow_are_told(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = table(data_folder, x=LISTS, y=Y).read_bytes()
    for damaged in (content[:-10], content[:100], b"", b"PAR1", b"id,label\n1,2\n"):
        (data_folder / "own.parquet").write_bytes(damaged)
        assert "own.parquet is not a Parquet file" in refused(IN_LISTS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(Unavailable, match=r"own\.parquet needs pyarrow; .*pip install .*\[parquet\]"):
        prepare(IN_LISTS, None, {})


# --- files -------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_and_nothing_stands_in_for_it(data_folder: Path) -> None:
    data = replace(IN_LISTS, test="held.parquet")
    table(data_folder, x=LISTS, y=Y)

    with pytest.raises(Unavailable, match=r"held\.parquet is missing: .*BENCH_DATA_DIR"):
        stand_ins_for(data, None, {})
    with pytest.raises(UsageError, match=r"unknown source to stand in for 'own\.parquet'"):
        stand_ins_for(data, None, {"own.parquet": "other.parquet"})


def test_a_file_may_be_a_path(data_folder: Path, tmp_path: Path) -> None:
    save(tmp_path)
    data = replace(FLOATS, file=str(tmp_path / "own.npz"))

    assert stand_ins_for(data, None, {}) == {}
    assert prepare(data, None, {}).name == "own.npz"
    assert sources.locate("own.npz") is None
