"""What is packed comes back, small, in the same bytes each time, and nothing else is taken for it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pytest

from models.packing import pack, unpack

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Inner:
    mean: Array
    covariance: Array


@dataclass(frozen=True, slots=True)
class Mean:
    mean: Array


@dataclass(frozen=True, slots=True)
class Outer:
    scored: Array
    inner: Inner
    known: tuple[tuple[float, ...], ...]
    rows: int
    label: str
    maybe: Inner | None = None
    limit: float | None = None


def covariance(size: int, condition: float, seed: int = 0) -> Array:
    """Return a covariance f64[size, size] whose eigenvalues spread over `condition`."""
    directions, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return np.asarray((directions * np.geomspace(1.0, 1.0 / condition, size)) @ directions.T)


def sample(matrices: Array | None = None) -> Outer:
    matrices = np.stack([covariance(6, 1e6, seed) for seed in (0, 1)]) if matrices is None else matrices
    inner = Inner(np.random.default_rng(2).standard_normal((2, 6)), matrices)
    return Outer(np.array([0, 3, 4]), inner, ((0.0, 0.1), (float("inf"), -0.0)), 7, "Grüße", None, 0.1)


def test_every_kind_of_field_comes_back() -> None:
    before = sample()
    after = unpack(Outer, pack(before))
    assert (after.known, after.rows, after.label, after.maybe, after.limit) == (
        before.known, 7, "Grüße", None, 0.1,
    )
    for one, other in ((after.scored, before.scored), (after.inner.mean, before.inner.mean)):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    again = unpack(Outer, pack(replace(before, maybe=before.inner, limit=None)))
    assert again.limit is None
    assert again.maybe is not None
    assert np.array_equal(again.maybe.mean, before.inner.mean)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6, 1e9])
def test_a_covariance_keeps_the_distances_that_it_gives(condition: float) -> None:
    matrix = covariance(64, condition)
    loaded = unpack(Inner, pack(Inner(np.zeros(1), matrix))).covariance
    x = np.random.default_rng(3).standard_normal((200, 64)) @ np.linalg.cholesky(matrix).T
    before, after = ((x * np.linalg.solve(each, x.T).T).sum(1) for each in (matrix, loaded))
    assert np.abs(after / before - 1).max() < 1e-6 * np.sqrt(condition)
    assert loaded.dtype == np.float64


def test_a_covariance_takes_a_quarter_of_its_size() -> None:
    matrices = np.stack([covariance(64, 1e4, seed) for seed in range(8)])
    assert len(pack(Inner(np.zeros(1), matrices))) < matrices.nbytes * 0.26


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[1.0, 0.5], [0.4, 1.0]]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.zeros((3, 2, 2)),
        np.array([[1.0, np.nan], [np.nan, 1.0]]),
        np.eye(2) * 1e80,
        np.eye(2) * 1e-80,
        np.eye(2, dtype=np.float32),
        np.eye(2, dtype=np.int64),
        np.zeros((0, 0)),
        np.ones((1, 1)) * 0.1,
    ],
    ids=["lopsided", "indefinite", "zero", "not a number", "huge", "tiny", "float32", "integers", "empty", "single"],
)
def test_any_other_square_array_comes_back_exactly(matrix: Array) -> None:
    loaded = unpack(Inner, pack(Inner(np.zeros(1), matrix))).covariance
    assert loaded.dtype == matrix.dtype
    assert np.array_equal(loaded, matrix, equal_nan=matrix.dtype.kind == "f")


def test_the_same_values_give_the_same_bytes() -> None:
    assert pack(sample()) == pack(sample())
    assert pack(sample()) != pack(replace(sample(), rows=8))


def test_what_is_neither_an_array_nor_plain_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        pack(replace(sample(), label=1j))  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 nor this", pack(sample())[:-40]])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, EOFError, BadZipFile)):
        unpack(Outer, content)


def test_an_archive_of_another_class_is_refused() -> None:
    with pytest.raises(KeyError, match="scored"):
        unpack(Outer, pack(sample().inner))
    with pytest.raises(ValueError, match="holds covariance:cholesky, which no Mean has"):
        unpack(Mean, pack(sample().inner))


def test_an_archive_of_pickled_objects_is_never_opened() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, mean=np.array([{"a": 1}], object), covariance=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(Inner, buffer.getvalue())
