"""TF32 stays off unless it was asked for, in the process that trains, and denormal numbers are zero."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from bench.backends.base import TF32, tf32  # noqa: E402
from bench.backends.torch import device  # noqa: E402
from bench.errors import NoGpu  # noqa: E402


@pytest.fixture
def _left_as_it_was() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("_left_as_it_was")
@pytest.mark.parametrize(("asked", "allowed"), [(None, False), ("0", False), ("1", True)])
def test_torch_rounds_to_tf32_only_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, allowed: bool
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not allowed
    monkeypatch.delenv(TF32, raising=False)
    if asked is not None:
        monkeypatch.setenv(TF32, asked)
    device.prepare("cpu", frozenset())
    assert tf32() is allowed
    assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.backends.cudnn.allow_tf32 is allowed


@pytest.mark.usefixtures("_left_as_it_was")
def test_denormal_numbers_are_zero_unless_they_are_left_to_torch() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush them")
    found = {}
    for differences in (frozenset({"denormals", "order"}), frozenset({"order"})):
        device.prepare("cpu", differences)
        found["denormals" in differences] = float((torch.full((64,), 1e-20) * 1e-19).max())
    assert found == {True: pytest.approx(1e-39, rel=1e-3), False: 0.0}


def test_torch_says_in_its_own_words_why_it_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update it.")

    monkeypatch.setattr(torch.cuda, "init", too_old)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(NoGpu) as refused:
        device.prepare("cuda", frozenset())
    assert str(refused.value) == (
        f"torch {torch.__version__} sees no GPU: it is built for CUDA 12.8 "
        "(The NVIDIA driver on your system is too old (found version 11040))"
    )
    assert refused.value.built_for == "12.8"
