"""From window to scores on ONNX Runtime's CPU provider: one thread, warmed up, shapes checked."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, BundleError, Manifest, Statistics
from models.gaps import GapFiller

# The wheel reports to its maker, and writes files for it, unless it is told not to before its import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as states

Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

COVERAGE_MIN = 0.75
"""A row with a smaller share of good values is not scored: too little data is blind, never normal."""

_GRAPH_ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
)
_OUTPUTS = ("regime", "distance", "residual", "expected", "fault")


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model says of each of T windows in B sequences over C tags (NaN for tags that are not scored).

    `score` f64[B, T]: squared distance to the most likely regime per good tag, about 1 on healthy data, NaN where fewer
    than COVERAGE_MIN of the tags are good. `regime` i64[B, T]. `residual` f32[B, T, C]: measured minus expected given
    the other tags, in standard deviations, 0 where the value is missing. `expected` f32[B, T, C] in the tag's unit.
    `fault_logits` f32[B, T, C, O]. `coverage` f32[B, T]: share of good tags in the newest row.
    """

    score: npt.NDArray[np.float64]
    regime: npt.NDArray[np.int64]
    residual: Float32s
    expected: Float32s
    fault_logits: Float32s
    coverage: Float32s

    def then(self, later: Scores) -> Scores:
        """Return these scores followed in time by later ones of the same sequences."""
        return Scores(*(np.concatenate([getattr(self, f), getattr(later, f)], 1) for f in self.__slots__))

    def last(self, rows: int) -> Scores:
        """Return the newest rows of each sequence."""
        return Scores(*(getattr(self, f)[:, -rows:] for f in self.__slots__))


class Detector:
    """A loaded model. Thread-compatible: one caller at a time."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the graph from the bundle's verified bytes and warm it up; raise BundleError where it does not fit."""
        self.manifest: Manifest = bundle.manifest
        self.statistics: Statistics = bundle.statistics
        self.hash = bundle.hash
        self._scored = bundle.statistics.scored
        self._filler = GapFiller(bundle.statistics)
        self._session = _session(bundle)
        rows, columns = self.manifest.window_rows, len(self.manifest.tags)
        try:
            self.score(np.zeros((1, rows, columns), np.float32), np.ones((1, rows, columns), np.bool_))
        except _GRAPH_ERRORS as error:
            raise BundleError(
                f"the graph of bundle {bundle.manifest.name!r} does not run ({_line(error)}): learn it anew"
            ) from error

    def score(self, x: Float32s, mask: Bools) -> Scores:
        """Score every complete window of the sequences x f32[B, L, C] with good values `mask` bool[B, L, C].

        L is at least the manifest's `window_rows`; there are T = L - window_rows + 1 windows, each ending in its row.
        """
        _, rows, columns = x.shape
        first = self.manifest.window_rows - 1
        assert columns == len(self.manifest.tags)
        assert mask.shape == x.shape
        assert rows > first
        flat_mask = mask.reshape(-1, columns)
        filled = self._filler.fill(x.reshape(-1, columns), flat_mask).reshape(x.shape)
        regime, distance, residual, expected, fault = self._session.run(_OUTPUTS, {"x": filled})
        if not mask.all():
            stretch = self._filler.stretch(flat_mask, regime.ravel()).reshape(residual.shape)
            residual = (residual * np.sqrt(stretch)).astype(np.float32)
            picked = filled[:, :, self._scored]
            expected = (picked - (picked - expected) * stretch).astype(np.float32)
        good = mask[:, first:, self._scored].sum(2)
        coverage = (good / max(len(self._scored), 1)).astype(np.float32)
        score = np.where(coverage >= COVERAGE_MIN, distance[:, first:] / np.maximum(good, 1), np.nan)
        return Scores(
            score,
            regime[:, first:],
            self._spread(residual[:, first:], columns),
            self._spread(expected[:, first:], columns),
            self._spread(fault, columns),
            coverage,
        )

    def _spread(self, values: Float32s, columns: int) -> Float32s:
        """Lay the scored channels (axis 2) among all tags."""
        out = np.full((*values.shape[:2], columns, *values.shape[3:]), np.nan, np.float32)
        out[:, :, self._scored] = values
        return out


def _session(bundle: Bundle) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(bundle.graph, options, providers=["CPUExecutionProvider"])
    except _GRAPH_ERRORS as error:
        raise BundleError(
            f"the graph of bundle {bundle.manifest.name!r} cannot be loaded ({_line(error)}): learn it anew"
        ) from error


def _line(error: BaseException) -> str:
    """Return what onnxruntime says, which has line breaks, on one line."""
    return " ".join(str(error).split())
