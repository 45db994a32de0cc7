"""What an alert is like: the signature of a deviation in residual space, and the labelled ones that it is near to.

A signature is what each tag does: the mean of its white residual (what the regime and the other tags do not explain)
over 32 rows, in standard deviations of such a mean where all is well, so that benign wander is no part of it; and what
it scatters beyond a healthy tag. How near two are is the cosine of the angle between
them, so that a fault is known again while it is still small. Nothing is compressed: an alarm is raised when little more
than noise is to be seen, and a square root or a logarithm would make much of the noise of the tags that are not
concerned. What such means have by chance is taken off instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Final

import numpy as np

from agent.line.alert import Alert, Answer, Likeness, Shapes, Signature, Trait
from agent.line.assess import LOOK_BACK_ROWS, Assessment, Detector, Float64s
from connectors.frame import Bools
from models.scores import MEMORIES

MEMORY: Final = MEMORIES.index(0.03)
"""An average with this memory wanders as far as one of LOOK_BACK_ROWS rows, where all is well."""
TRAITS_MAX: Final = 16
STUCK_SIZE: Final = 1e6
"""A stuck tag comes before all that only deviate."""
CHANCE: Final = 1.0
"""What a level has by chance, in its standard deviations."""
SPREAD_CHANCE: Final = 0.3
"""What a spread over 32 rows has by chance, in standard deviations of a healthy tag."""
SHAPES_WEIGHT: Final = 0.1
"""The part that the probabilities of the types of fault have in a similarity."""
LIKE_MIN: Final = 0.6
"""From this similarity on an alert is said to be like another one.

On simulated machines of one make, with up to eleven faults each labelled once on another machine, 82 % of the first
alerts had the right name first; of faults that nobody had labelled 11 % had the name of another one.
"""
SAME_MIN: Final = 0.7
"""From this similarity on a deviation is the pattern that was labelled normal, if it is no larger."""
LARGER_MAX: Final = 1.25
LARGER_LEVEL: Final = 3.0
LARGER_SPREAD: Final = 1.0
"""A tag may deviate by a quarter more than in the labelled alert, and by so many standard deviations of either more."""
PROTOTYPES_MAX: Final = 100
"""So many labelled alerts are remembered, those labelled last."""


@dataclass(frozen=True, slots=True)
class Prototype:
    """A labelled alert as far as another one can be like it; `is_normal` where the machine may do this.

    `signature` is that of when it was raised, `peak_signature` that of when it deviated most.
    """

    alert_id: str
    raised_time_ns: int
    name: str
    is_normal: bool
    signature: Signature
    peak_signature: Signature
    shapes: Shapes
    model_hash: str


class Prototypes:
    """The labelled alerts that the next one of an asset may be like: its own, and those of others of its bundle."""

    def __init__(self, known: Sequence[Prototype] = ()) -> None:
        self._known = list(known)[-PROTOTYPES_MAX:]

    def learn(self, alert: Alert) -> None:
        """Take a labelled alert in; what it was taken for before is forgotten."""
        self._known = [one for one in self._known if one.alert_id != alert.id]
        if (new := prototype(alert)) is not None:
            self._known = [*self._known, new][-PROTOTYPES_MAX:]

    def copy(self) -> Prototypes:
        """Return another one that knows the same."""
        return Prototypes(self._known)

    def nearest(self, signature: Signature, shapes: Shapes) -> Likeness | None:
        """Return the one that a new alert is like, None where it is like none."""
        found = [(similarity(signature, one.signature, shapes, one.shapes), one) for one in reversed(self._known)]
        if not found:
            return None
        near, one = max(found, key=lambda each: each[0])
        return Likeness(one.alert_id, one.raised_time_ns, one.name, round(near, 2)) if near >= LIKE_MIN else None

    def normal(self, signature: Signature, model_hash: str) -> Prototype | None:
        """Return the pattern labelled normal that a deviation is, and is no larger than; None where it is none.

        It is none, too, where a labelled fault is nearer, or where another model judged the labelled alert.
        """
        normal = [one for one in self._known if one.is_normal and one.model_hash == model_hash]
        near, nearest = _nearest(signature, normal)
        if nearest is None or near < SAME_MIN or _is_larger(signature, nearest):
            return None
        fault_near, _ = _nearest(signature, [one for one in self._known if not one.is_normal])
        return nearest if near >= fault_near else None


class Labels:
    """What was known of labelled alerts at each time, for looking back; never changes."""

    def __init__(self, labelled: Sequence[Alert] = ()) -> None:
        """Begin with the alerts as they stood when they were labelled; one that was labelled anew is there twice."""
        told = [(one.label.time_ns, one) for one in labelled if one.label is not None]
        told.sort(key=lambda each: each[0])
        self._times_ns = [time_ns for time_ns, _ in told]
        self._known = [Prototypes()]
        for _, alert in told:
            known = self._known[-1].copy()
            known.learn(alert)
            self._known.append(known)

    def at(self, time_ns: int) -> Prototypes:
        """Return what a line had been told up to a time, UTC ns."""
        return self._known[bisect_right(self._times_ns, time_ns)]


class Familiar:
    """A deviation that stands and is labelled normal: as soon as it changes or grows, for the on delay, it is no more.
    """

    def __init__(self, on_rows: int) -> None:
        self.on_rows = on_rows
        self.stands = False
        self._strange_rows = 0

    def begin(self) -> None:
        """Note that a known pattern has begun."""
        self.stands, self._strange_rows = True, 0

    def over(self) -> None:
        """Note that the deviation is over."""
        self.stands = False

    def outgrown(
        self, assessment: Assessment, begin: int, end: int, withheld: Bools | None, signatures: Signatures,
        known: Prototypes,
    ) -> int | None:
        """Return the first of the rows from `begin` to before `end` in which it is known no more, None for none.

        It does not stand from then on. Rows that are `withheld`, bool[N], or not judged count for neither.
        """
        counts = assessment.judged[begin:end] & (assessment.evidence[begin:end] >= 1.0)
        if withheld is not None:
            counts &= ~withheld[begin:end]
        rows, first = (begin + np.flatnonzero(counts)).tolist(), 0
        while first < len(rows):
            # From the last row that the on delay may end with backwards: where that one is known those before it do not
            # matter, so that a pattern that goes on costs one look an on delay.
            after = min(first + self.on_rows - self._strange_rows, len(rows))
            strange = 0
            while strange < after - first and not _is_known(assessment, rows[after - 1 - strange], signatures, known):
                strange += 1
            self._strange_rows = self._strange_rows + strange if strange == after - first else strange
            if self._strange_rows >= self.on_rows:
                self.over()
                return int(rows[after - 1])
            first = after
        return None


def prototype(alert: Alert) -> Prototype | None:
    """Return what another alert may be like; None where nobody has looked, or the alert has no signature."""
    label = alert.label
    if label is None or not alert.signature or label.answer is Answer.NOT_LOOKED_AT:
        return None
    name = label.fault or label.answer.value
    return Prototype(
        alert.id, alert.raised_time_ns, name, label.answer is Answer.NORMAL,
        alert.signature, alert.peak_signature, alert.verdict.fault_probabilities, alert.verdict.model_hash,
    )


def similarity(one: Signature, other: Signature, shapes: Shapes = (), other_shapes: Shapes = ()) -> float:
    """Return how near two signatures are, at most 1; where both have them, the types of fault count a little."""
    near = _cosine(dict(_vector(one)), dict(_vector(other)))
    if not shapes or not other_shapes:
        return near
    return (1 - SHAPES_WEIGHT) * near + SHAPES_WEIGHT * _cosine(dict(shapes), dict(other_shapes))


def _vector(signature: Signature) -> Iterator[tuple[str, float]]:
    """Give what is compared; where a tag is stuck, that alone: what else it does follows from what the others do."""
    if any(trait.still for trait in signature):
        yield from ((f"still {trait.tag}", trait.still) for trait in signature)
        return
    for trait in signature:
        yield f"level {trait.tag}", float(np.sign(trait.level)) * max(abs(trait.level) - CHANCE, 0.0)
        yield f"spread {trait.tag}", max(trait.spread - SPREAD_CHANCE, 0.0)


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    lengths = sqrt(sum(x * x for x in one.values()) * sum(x * x for x in other.values()))
    return sum(x * other.get(key, 0.0) for key, x in one.items()) / lengths if lengths else 0.0


def _nearest(signature: Signature, known: Sequence[Prototype]) -> tuple[float, Prototype | None]:
    """Return the one that a signature is nearest to, as it was raised or at its largest, and how near that is."""
    near, nearest = 0.0, None
    for one in known:
        how = max(similarity(signature, seen) for seen in (one.signature, one.peak_signature))
        if how > near:
            near, nearest = how, one
    return near, nearest


def _is_larger(signature: Signature, labelled: Prototype) -> bool:
    """Say whether another tag is stuck, or one that is not deviates by more: nothing hides behind a stuck tag."""
    seen = (*labelled.signature, *labelled.peak_signature)
    stuck = {trait.tag for trait in seen if trait.still}
    for trait in signature:
        if trait.still and trait.tag in stuck:
            continue
        mine = [one for one in seen if one.tag == trait.tag]
        level = LARGER_MAX * max((abs(one.level) for one in mine), default=0.0) + LARGER_LEVEL
        spread = LARGER_MAX * max((one.spread for one in mine), default=0.0) + LARGER_SPREAD
        if trait.still or abs(trait.level) > level or trait.spread > spread:
            return True
    return False


def _is_known(assessment: Assessment, row: int, signatures: Signatures, known: Prototypes) -> bool:
    signature = signatures.at(assessment, row)
    # When it goes the evidence remembers it for longer than the rows that a signature is taken of.
    return _is_faint(signature) or known.normal(signature, signatures.model_hash) is not None


def _is_faint(signature: Signature) -> bool:
    return all(
        abs(trait.level) <= LARGER_LEVEL and trait.spread <= LARGER_SPREAD and not trait.still for trait in signature
    )


def _size(trait: Trait) -> float:
    return hypot(trait.level, trait.spread)


def _whole_size(signature: Signature) -> float:
    return hypot(*map(_size, signature))


class Signatures:
    """Takes signatures of an asset's rows, and the largest while its alert stands."""

    def __init__(self, detector: Detector) -> None:
        self._tags = [tag.name for tag in detector.manifest.tags]
        self._scored = detector.statistics.scored
        self._reference = detector.statistics.reference
        self.model_hash = detector.hash
        self._peak: Signature = ()

    def at(self, assessment: Assessment, row: int) -> Signature:
        """Return the signature of a new row of an assessment: its largest traits, stuck tags first."""
        level, spread = (self._of_tags(part)[0] for part in self._course(assessment, row, row + 1))
        still = np.where(assessment.frozen[row] >= 1.0, 1.0, 0.0)
        size = np.hypot(level, spread) + STUCK_SIZE * still
        largest = [int(tag) for tag in np.argsort(-size, kind="stable")[:TRAITS_MAX] if size[tag] > 0]
        return tuple(
            Trait(self._tags[tag], _short(level[tag]), _short(spread[tag]), float(still[tag])) for tag in largest
        )

    def begin(self) -> None:
        """Forget the largest: another alert begins."""
        self._peak = ()

    def follow(self, assessment: Assessment, begin: int, end: int) -> None:
        """Take in the new rows from `begin` to before `end`, in which the alert stands."""
        rows = begin + np.flatnonzero(assessment.evidence[begin:end] >= 1.0)  # False for NaN
        if not len(rows):
            return
        level, spread = self._course(assessment, begin, end)
        size = np.sqrt((level**2 + spread**2).sum(1))[rows - begin]
        self._peak = max(self._peak, self.at(assessment, int(rows[size.argmax()])), key=_whole_size)

    def peak(self, before: Signature) -> Signature:
        """Return the largest signature, where it is larger than the one `before`."""
        return max(before, self._peak, key=_whole_size)

    def _course(self, assessment: Assessment, begin: int, end: int) -> tuple[Float64s, Float64s]:
        """Return level and spread f64[N, S] of the new rows from `begin` to before `end`, over the rows up to each."""
        first = max(assessment.position(begin) + 1 - LOOK_BACK_ROWS, 0)
        rows = slice(first, assessment.position(end - 1) + 1)
        counted = assessment.counted[rows, None]
        white = np.where(counted, np.nan_to_num(assessment.scores.white[rows].astype(np.float64)), 0.0)
        count = np.maximum(_trailing(counted.astype(np.float64), end - begin), 1.0)
        mean = _trailing(white, end - begin) / count
        square = _trailing(white**2, end - begin) / count
        return mean @ self._reference.root[MEMORY], np.sqrt(np.maximum(square - mean**2 - 1.0, 0.0))

    def _of_tags(self, scored: Float64s) -> Float64s:
        every = np.zeros((len(scored), len(self._tags)))
        every[:, self._scored] = scored
        return every


def _trailing(values: Float64s, rows: int) -> Float64s:
    """Return the sum over the last LOOK_BACK_ROWS rows at each of the last `rows` of values f64[M, S]."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0)])
    ends = np.arange(len(values) - rows, len(values)) + 1
    return np.asarray(total[ends] - total[np.maximum(ends - LOOK_BACK_ROWS, 0)])


def _short(value: float) -> float:
    """Keep what means something: three significant digits."""
    return float(f"{value:.3g}")
