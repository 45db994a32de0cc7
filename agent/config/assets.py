"""The tables [assets.NAME] and their tags."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from agent.config.base import FilePath, Model, Name, PeriodMs
from agent.config.modbus import ModbusTagKeys
from agent.config.opcua import OpcuaTagKeys
from agent.line.alert import Consequence
from agent.line.stage import Stage
from connectors.counters import HIGHEST
from connectors.frame import Dtype
from connectors.modbus.plan import BIT_TABLES

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(day|week|month|year)")
_PERIOD_S = {"day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0, "year": 365 * 86_400.0}


def parse_budget(text: str) -> float:
    """Return alerts per second of a budget such as "1/week" (a month has 30 days); raise ValueError."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None or not float(match[1]) > 0:
        raise ValueError(
            f"got {text!r}; allowed: a number above 0 and "
            '"/day", "/week", "/month" or "/year", such as "1/week"'
        )
    return float(match[1]) / _PERIOD_S[match[2]]


class TagConfig(ModbusTagKeys, OpcuaTagKeys):
    """One measured quantity and where it lives; its connection's protocol says which keys apply."""

    scale: float = Field(default=1.0, allow_inf_nan=False, description="value = raw * scale + offset")
    offset: float = Field(default=0.0, allow_inf_nan=False, description="value = raw * scale + offset")
    low: float = Field(default=float("-inf"), description="the lowest possible value, in the tag's unit")
    high: float = Field(default=float("inf"), description="the highest possible value, in the tag's unit")
    clamp: bool = Field(
        default=False, description="whether a value outside low to high becomes the limit, instead of nothing"
    )
    max_rate: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="how fast the quantity can move, in the tag's unit per second",
    )
    invalid: Annotated[tuple[float, ...], Strict(False)] = Field(
        default=(), max_length=16, description='raw numbers that mean "no value", such as 0x8000 or 1e38'
    )
    texts: dict[str, float] = Field(
        default={}, max_length=256, description='what texts stand for, such as { RUN = 1, STOP = 0 }'
    )
    period_ms: PeriodMs | None = Field(
        default=None, description="milliseconds between reads; default: the asset's"
    )
    use: Literal["model", "context"] = Field(
        default="model", description="whether the model looks at it, or it is only read and kept"
    )
    symptom: bool = Field(
        default=False, description="whether it is measured to see faults of the machine, as a vibration is"
    )
    counter: bool = Field(
        default=False, description="whether it counts up for ever, so that the value is how fast it counts"
    )
    rollover: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="the highest count, after which a counter begins at 0, such as 999999",
    )

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("0 would make every value the same; allowed: any other number")
        return scale

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low", high - 1)
        if not low < high:
            raise ValueError(f"must be above low ({low:g})")
        return high

    @field_validator("clamp")
    @classmethod
    def _has_limits(cls, clamp: bool, info: ValidationInfo) -> bool:
        limits = [info.data[key] for key in ("low", "high") if key in info.data]
        if clamp and all(math.isinf(limit) for limit in limits):
            raise ValueError("there is no limit to clamp to; add low or high, or remove clamp")
        return clamp

    @field_validator("symptom")
    @classmethod
    def _is_of_the_model(cls, symptom: bool, info: ValidationInfo) -> bool:
        if symptom and info.data.get("use") == "context":
            raise ValueError('the model does not look at it; remove use = "context" or this')
        return symptom

    @field_validator("counter")
    @classmethod
    def _counts(cls, counter: bool, info: ValidationInfo) -> bool:
        if not counter:
            return counter
        if info.data.get("dtype") is Dtype.STRING or info.data.get("texts"):
            raise ValueError("a text does not count; remove it")
        of_bits = info.data.get("table") in BIT_TABLES or info.data.get("bit") is not None
        if of_bits and (info.data.get("bits") or 1) == 1:
            raise ValueError("a single bit does not count; remove it")
        for key, what in (
            ("offset", "the value is how fast it counts, which has no offset; remove the offset"),
            ("max_rate", "the value is a rate already; limit it with high instead of max_rate"),
            ("deadband", "a deadband hides counts; remove it"),
            ("deadband_percent", "a deadband hides counts; remove it"),
        ):
            if info.data.get(key):
                raise ValueError(what)
        return counter

    @field_validator("rollover")
    @classmethod
    def _fits_the_type(cls, rollover: float | None, info: ValidationInfo) -> float | None:
        if rollover is None or "counter" not in info.data:
            return rollover
        if not info.data["counter"]:
            raise ValueError("only a counter rolls over; add counter = true or remove it")
        highest = HIGHEST.get(info.data.get("dtype") or Dtype.FLOAT64, math.inf)
        if rollover > highest:
            raise ValueError(f"got {rollover:.15g}; a {info.data['dtype']} holds {highest} at most")
        return rollover

    @field_validator("texts")
    @classmethod
    def _of_a_text(cls, texts: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        dtype = info.data.get("dtype")
        if dtype is Dtype.STRING and not texts:
            raise ValueError('missing; dtype "string" needs what its texts stand for, such as { RUN = 1, STOP = 0 }')
        if texts and (info.data.get("table") is not None or dtype is not None) and dtype is not Dtype.STRING:
            raise ValueError(f'a {dtype or Dtype.BIT} has no texts; write dtype = "string" or remove it')
        if any(not math.isfinite(number) for number in texts.values()):
            raise ValueError("allowed: a finite number for each text")
        return texts


class SuppressedWhenConfig(Model):
    """When the alerts of an asset are suppressed by design: a context tag has one of some values."""

    tag: str = Field(description='one of the asset\'s tags, with use = "context"')
    equals: Annotated[tuple[float, ...], Strict(False)] = Field(
        min_length=1, max_length=64, description="the values that mean it, such as [1]"
    )


class AssetConfig(Model):
    """One machine: its model, its alarm budget and delays, and its tags in the order of the model."""

    bundle: FilePath | None = Field(
        default=None, description="the folder of the model bundle; without one a model is learnt from what is recorded"
    )
    stage: Literal["shadow", "live"] | None = Field(
        default=None, description='the stage it begins in with a bundle: "live", or "shadow" until somebody goes live'
    )
    learn_after_h: float = Field(
        default=168.0, gt=0, le=8760, description="without a bundle: hours recorded to learn from, before that is done"
    )
    promote: Literal["person", "rule"] = Field(
        default="person", description="who decides that a challenger takes its model's place"
    )
    promote_after_days: float = Field(
        default=14.0, gt=0, le=3650, description="days that a challenger is watched before the rule may decide"
    )
    period_ms: PeriodMs = Field(description="milliseconds between two reads")
    budget: str = Field(default="1/week", description='the alarm budget, such as "1/week"')
    on_delay_s: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds a deviation lasts before its alert"
    )
    off_delay_s: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds of normal before a return to normal"
    )
    cause_delay_s: float = Field(
        default=0.0, ge=0, le=86_400,
        description="seconds that a slight deviation waits at most for its cause to be clear; 0: not at all",
    )
    escalate_after_h: float = Field(
        default=24.0, ge=0, le=8760,
        description="hours after which the priority of an alert that nobody acknowledged rises; 0: never",
    )
    realarm_after_h: float = Field(
        default=168.0, ge=0, le=8760,
        description="hours after which an acknowledged alert that still stands must be acknowledged again; 0: never",
    )
    hold_after_change_h: float = Field(
        default=8.0, ge=0, le=168,
        description="hours for which alerts are on hold after a change was seen; 0: not at all",
    )
    consequence: Annotated[Consequence, Strict(False)] = Field(
        default=Consequence.MAJOR, description='what a failure would do: "minor", "major" or "severe"'
    )
    machine_type: Name = Field(
        default="generic", description='what kind of machine it is, for its advisories, such as "pump"'
    )
    group: str | None = Field(
        default=None, min_length=1, max_length=63,
        description="a name that it shares with machines which are disturbed together"
    )
    tags: Annotated[tuple[TagConfig, ...], Strict(False)] = Field(
        min_length=1, description="at least one [[assets.<name>.tags]]"
    )
    suppressed_when: SuppressedWhenConfig | None = Field(
        default=None, description="when its alerts are suppressed by design: { tag = ..., equals = [...] }"
    )

    @field_validator("tags")
    @classmethod
    def _has_a_model(cls, tags: tuple[TagConfig, ...]) -> tuple[TagConfig, ...]:
        if all(tag.use == "context" for tag in tags):
            raise ValueError('at least one tag must be without use = "context": the model needs it')
        return tags

    @field_validator("suppressed_when")
    @classmethod
    def _is_a_context_tag(
        cls, when: SuppressedWhenConfig | None, info: ValidationInfo
    ) -> SuppressedWhenConfig | None:
        if when is None or "tags" not in info.data:
            return when
        context = [tag.name for tag in info.data["tags"] if tag.use == "context"]
        if when.tag not in context:
            there = ", ".join(context) or "none yet"
            raise ValueError(f'"{when.tag}" is no tag with use = "context"; those of this asset: {there}')
        return when

    @field_validator("budget")
    @classmethod
    def _is_a_budget(cls, budget: str) -> str:
        parse_budget(budget)
        return budget

    @property
    def first_stage(self) -> Stage:
        """The stage it begins in where it has a bundle."""
        return Stage(self.stage or Stage.LIVE)

    @property
    def columns(self) -> tuple[TagConfig, ...]:
        """The tags as they lie in frames: those of the model in its order, and then the context tags."""
        return tuple(sorted(self.tags, key=lambda tag: tag.use == "context"))

    @property
    def symptoms(self) -> tuple[str, ...]:
        """The names of the tags that are measured to see faults of the machine."""
        return tuple(tag.name for tag in self.tags if tag.symptom)

    @property
    def connections(self) -> tuple[str, ...]:
        """The names of its tags' connections."""
        return tuple(dict.fromkeys(tag.connection for tag in self.tags))

    @property
    def alerts_per_s(self) -> float:
        """The alarm budget as alerts per second."""
        return parse_budget(self.budget)
