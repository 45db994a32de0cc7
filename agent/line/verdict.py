"""What the heart says of one asset at one step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """The state of an asset as far as the agent can tell.

    Settling: the machine has just been switched, or its data have just come back; start-ups are not judged. Blind: too
    little good data.
    """

    NORMAL = "normal"
    DEVIATING = "deviating"
    UNSEEN_REGIME = "unseen_regime"
    SETTLING = "settling"
    BLIND = "blind"


class Cause(StrEnum):
    """Where to look first."""

    COMMUNICATION = "communication"
    SENSOR = "sensor"
    MACHINE = "machine"


class LifeEnd(StrEnum):
    """What a remaining life runs to: the failure, where failures were learnt from, else an evidence of 2."""

    FAILURE = "failure"
    TWICE_THE_LIMIT = "twice_the_limit"


@dataclass(frozen=True, slots=True)
class Contribution:
    """One tag's part in the evidence: `share` of the whole in 0..1, measured and expected value in the tag's unit.

    All three are means over the last 32 rows: a single row is too noisy to go by.
    """

    tag: str
    unit: str
    share: float
    measured: float
    expected: float


@dataclass(frozen=True, slots=True)
class Drift:
    """The tag that has moved most, for good, from its learnt level: by so many of its standard deviations, signed."""

    tag: str
    deviations: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The agent's opinion of an asset at one row of its grid.

    `evidence` is calibrated: 1 is the limit that the alarm budget allows. `regime` is None where no value was good
    enough to tell; `regime_distances` are the nearest known regimes and how far each is, in standard deviations per
    tag: about 1 where the machine is in it, far from all of them in a regime that was never learnt.
    `contributions` are there while it deviates or runs in an unseen regime, cause and `fault_probabilities`, most
    probable type first, only while it deviates. `cause_probability` is that of the cause, None where there is none or
    it was told by a rule without odds, as that the communication fails. `drift` is slow, since the model was learnt,
    and raises no alarm.
    `health` is 1 without any deviation, 0.5 at the limit, towards 0 beyond, NaN while nothing can be said of it.
    `remaining_life_s` holds the 5 %, 50 % and 95 % quantiles, None means "no estimate"; `remaining_life_until` says to
    what. `coverage` is the share of good values in the window, 0..1.
    """

    asset: str
    time_ns: int
    condition: Condition
    regime: str | None
    regime_distances: tuple[tuple[str, float], ...]
    evidence: float
    contributions: tuple[Contribution, ...]
    cause: Cause | None
    cause_probability: float | None
    fault_probabilities: tuple[tuple[str, float], ...]
    drift: Drift | None
    health: float
    remaining_life_s: tuple[float, float, float] | None
    remaining_life_until: LifeEnd | None
    coverage: float
    model_hash: str
