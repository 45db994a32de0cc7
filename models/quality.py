"""How good a fault head is on plants with known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.degradations import FAULTS
from models.examples import CHANNELS_MAX, Examples
from models.fault_head import OUTPUTS, FaultHead
from models.features import LOUDNESS

Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

FALSE_ALARMS = 0.01
CLEAR_SD, CLEAR_ROWS = 1.0, 30
"""A fault is clear when it is so large and so old; one without a size of its own, when it is so old."""
SIZELESS = ("stuck", "delay", "decoupling")


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares 0..1 on rows of plants no head was trained on; NaN where the rows lack what a figure is about.

    `precision` is the average precision of the fault, `detection` the share of faulty rows above the limit that 1 % of
    the healthy rows exceed; `benign` and `failing` are average precisions; `kind` is the share of struck channels whose
    fault type is named, `quiet` the share of the others that are called healthy. `clear` is the share of clear faults
    whose type is named on the gateway: that of the channel that deviates most, "none" left out.
    """

    precision: float
    detection: float
    benign: float
    failing: float
    kind: float
    quiet: float
    clear: float


def measure(head: FaultHead, examples: Examples) -> Quality:
    """Judge a head on examples."""
    judged, kinds = logits(head, examples)
    certain = examples.certain > 0
    fault = examples.fault[certain] > 0
    score = {name: judged[:, number] for number, name in enumerate(OUTPUTS)}
    real = np.arange(kinds.shape[1])[None] < examples.channels[:, None]
    struck = real & (examples.kind > 0)
    named = kinds.argmax(2)
    table = confusion(kinds, examples)
    return Quality(
        precision=average_precision(fault, score["fault"][certain]),
        detection=detection(fault, score["fault"][certain]),
        benign=average_precision(examples.benign > 0, score["benign"]),
        failing=average_precision(examples.failing > 0, score["failing"]),
        kind=_share((named == examples.kind)[struck]),
        quiet=_share((named == 0)[real & (examples.kind == 0)]),
        clear=float(table.trace() / table.sum()) if table.any() else float("nan"),
    )


def confusion(kinds: Float32s, examples: Examples) -> npt.NDArray[np.int64]:
    """Return how often a clear fault of type i was called type j, i[K - 1, K - 1], from the logits f32[N, S, K]."""
    sized = ~np.isin(examples.kind.max(1), [FAULTS.index(name) for name in SIZELESS])
    clear = (examples.age >= CLEAR_ROWS) & ((examples.amplitude >= CLEAR_SD) | ~sized) & (examples.kind > 0).any(1)
    rows = np.flatnonzero(clear)
    deviation = np.abs(examples.features[rows][:, :, list(LOUDNESS)].astype(np.float32)).max(2)
    most = np.where(examples.kind[rows] > 0, deviation, -1.0).argmax(1)
    truth, named = examples.kind[rows, most] - 1, kinds[rows, most, 1:].argmax(1)
    table = np.zeros((len(FAULTS) - 1, len(FAULTS) - 1), np.int64)
    np.add.at(table, (truth, named), 1)
    return table


def logits(head: FaultHead, examples: Examples) -> tuple[Float32s, Float32s]:
    """Return the head's logits on each row: of the whole f32[N, 3], of the channels f32[N, CHANNELS_MAX, K]."""
    rows = len(examples.fault)
    judged = np.empty((rows, len(OUTPUTS)), np.float32)
    kinds = np.zeros((rows, CHANNELS_MAX, head.kinds.shape[1]), np.float32)
    for count in np.unique(examples.channels):
        alike = np.flatnonzero(examples.channels == count)
        features = examples.features[alike, :count].astype(np.float32)
        judged[alike], kinds[alike, :count] = head.forward(features, examples.whole[alike])
    return judged, kinds


def average_precision(truth: Bools, score: npt.NDArray[np.floating]) -> float:
    """Return the mean precision over the ranks at which the true rows stand, ties shared; NaN without true rows."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(truth[order])[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hits[-1])


def detection(truth: Bools, score: npt.NDArray[np.floating], false_alarms: float = FALSE_ALARMS) -> float:
    """Return the share of true rows above the limit that `false_alarms` of the others exceed; NaN without either."""
    if truth.all() or not truth.any():
        return float("nan")
    return float((score[truth] > np.quantile(score[~truth], 1.0 - false_alarms)).mean())


def _share(right: Bools) -> float:
    return float(right.mean()) if right.size else float("nan")
