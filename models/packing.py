"""Dataclasses of arrays as one npz archive: what is added to such a class is stored without a word here.

A field is an array, another such dataclass, one of these or None, or plain values (numbers, texts, tuples of them),
which are kept as JSON. The fields of a nested class are named like a path, `regimes.mean`.

Covariances are most of a model. A stack of positive definite matrices f64[..., n, n] is stored as the lower triangles
of its Cholesky factors in float32, a quarter of the size: rounding the factor costs the inverse a relative error of
about 1e-7 times the square root of the condition number (Higham, Accuracy and Stability of Numerical Algorithms,
ch. 10), rounding the covariance itself would cost 1e-7 times the whole of it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

_Arrays = Mapping[str, npt.NDArray[Any]]
_T = TypeVar("_T")

_TRIANGLE: Final = ":cholesky"
_PLAIN: Final = ":json"
_SYMMETRY: Final = 1e-12
"""Matrices whose two halves differ by more than this, in units of their diagonals, are stored as they are."""
_RANGE: Final = 1e30
"""So are those that float32 cannot hold."""


def pack(value: object) -> bytes:
    """Return the fields of a dataclass as an npz archive; the same values give the same bytes.

    Raises TypeError where a field can be neither an array nor JSON.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(_members(value, "")))
    return buffer.getvalue()


def unpack(kind: type[_T], content: bytes) -> _T:
    """Return the dataclass `kind` from an archive that `pack` wrote.

    Raises ValueError, KeyError, EOFError or BadZipFile where the archive is none, or one of another class.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        members = {name: archive[name] for name in archive.files}
    value: _T = _build(kind, members, "")
    if unknown := members.keys() - dict(_members(value, "")).keys():
        raise ValueError(f"holds {', '.join(sorted(unknown))}, which no {kind.__name__} has")
    return value


def _members(value: object, path: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    assert is_dataclass(value)
    for field in fields(value):
        name, content = path + field.name, getattr(value, field.name)
        if is_dataclass(content):
            yield from _members(content, f"{name}.")
        elif not isinstance(content, np.ndarray):
            yield name + _PLAIN, np.array(json.dumps(content).encode())
        elif (triangles := _triangles(content)) is not None:
            yield name + _TRIANGLE, triangles
        else:
            yield name, content


def _build(kind: Any, members: _Arrays, path: str) -> Any:
    hints = get_type_hints(kind)
    return kind(**{f.name: _field(hints[f.name], members, path + f.name) for f in fields(kind)})


def _field(hint: Any, members: _Arrays, name: str) -> Any:
    if name + _PLAIN in members:  # None, too
        return _tuples(json.loads(members[name + _PLAIN].item()))
    inner = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
    if inner is not None and get_origin(hint) is not tuple:
        return _build(inner, members, f"{name}.")
    return _matrices(members[name + _TRIANGLE]) if name + _TRIANGLE in members else members[name]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _triangles(a: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Return the Cholesky triangles f32[..., n (n + 1) / 2] of f64[..., n, n], None where there are none."""
    if a.dtype != np.float64 or a.ndim < 2 or not a.shape[-1] == a.shape[-2] > 1:
        return None
    spread = np.sqrt(np.abs(np.diagonal(a, axis1=-2, axis2=-1)))
    scale = spread[..., :, None] * spread[..., None, :]
    if not (np.abs(a - a.swapaxes(-1, -2)) <= _SYMMETRY * scale).all():
        return None
    try:
        factors = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return None
    if np.diagonal(factors, axis1=-2, axis2=-1).min(initial=1.0) < 1 / _RANGE or spread.max(initial=1.0) > _RANGE:
        return None
    return np.asarray(factors[..., *np.tril_indices(a.shape[-1])], np.float32)


def _matrices(triangles: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the matrices f64[..., n, n] whose Cholesky triangles these are."""
    size = int((np.sqrt(8 * triangles.shape[-1] + 1) - 1) / 2)
    factors = np.zeros((*triangles.shape[:-1], size, size))
    factors[..., *np.tril_indices(size)] = triangles
    return np.asarray(factors @ factors.swapaxes(-1, -2))
