"""From window to scores on ONNX Runtime's CPU provider: one thread, warmed up, shapes checked."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, BundleError, Manifest, Statistics
from models.features import FEATURES, GLOBALS
from models.gaps import GapFiller
from models.remaining import RemainingModel
from models.scored_rows import COVERAGE_MIN, Scores

# The wheel reports to its maker, and writes files for it, unless it is told not to before its import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as states

Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_GRAPH_ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
)
_EXPERTS = ("regime", "distance", "distances", "white", "residual", "deviation", "expected")
_HEAD = ("judged", "kinds")


class Detector:
    """A loaded model. Thread-compatible: one caller at a time."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the graph from the bundle's verified bytes and warm it up; raise BundleError where it does not fit."""
        self.manifest: Manifest = bundle.manifest
        self.statistics: Statistics = bundle.statistics
        self.remaining: RemainingModel | None = bundle.remaining
        self.hash = bundle.hash
        self._filler = GapFiller(bundle.statistics)
        self._session = _session(bundle)
        columns, scored = len(self.manifest.tags), len(self.statistics.scored)
        try:
            self.score(np.zeros((1, columns), np.float32), np.ones((1, columns), np.bool_))
            self.judge(np.zeros((1, scored, FEATURES), np.float32), np.zeros((1, GLOBALS), np.float32))
        except _GRAPH_ERRORS as error:
            raise BundleError(
                f"the graph of bundle {bundle.manifest.name!r} does not run ({_line(error)}): learn it anew"
            ) from error

    def score(self, x: Float32s, mask: Bools, held: Bools | None = None) -> Scores:
        """Let the experts score rows x f32[T, C] with good values `mask` bool[T, C].

        Values that are `held` bool[T, C] add no evidence, as if they were missing, and are not missed.
        """
        columns = x.shape[1]
        assert columns == len(self.manifest.tags)
        assert mask.shape == x.shape
        s = self.statistics
        good = mask[:, s.used]
        present = good if held is None else good & ~held[:, s.used]
        filled = self._filler.fill(x[:, s.used], present)
        found = self._session.run(_EXPERTS, {"x": filled})
        regime, distance, distances, white, residual, deviation, expected = found
        scored = len(s.scored)
        if not present.all():
            stretch = self._filler.stretch(present, regime)[:, :scored]
            residual = (residual * np.sqrt(stretch)).astype(np.float32)
            expected = (filled[:, :scored] - (filled[:, :scored] - expected) * stretch).astype(np.float32)
        coverage = (good[:, :scored].sum(1) / scored).astype(np.float32)
        told = np.maximum(present[:, :scored].sum(1), 1)
        score = np.where(coverage >= COVERAGE_MIN, distance / told, np.nan)
        far = np.sqrt(distances / told[:, None]).astype(np.float32)
        return Scores(
            score, regime, far, self._spread(residual, columns), self._spread(expected, columns), white, deviation,
            coverage,
        )

    def judge(self, features: Float32s, whole: Float32s) -> tuple[Float32s, Float32s]:
        """Let the fault head judge T rows by the features f32[T, S, F] of their channels and `whole` f32[T, G].

        Return logits: f32[T, 3] of the whole, f32[T, S, K] of each channel's fault type.
        """
        judged, kinds = self._session.run(_HEAD, {"features": features, "whole": whole})
        return judged, kinds

    def _spread(self, values: Float32s, columns: int) -> Float32s:
        """Lay the scored channels (axis 1) among all tags."""
        out = np.full((len(values), columns), np.nan, np.float32)
        out[:, self.statistics.scored] = values
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
