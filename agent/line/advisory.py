"""What to check first: rules for a kind of machine that fit the cause, the fault and the first tag of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.line.verdict import Cause, Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to do, and why that is worth it, in the words of a technician."""

    do: str
    why: str


@dataclass(frozen=True, slots=True)
class Advisory:
    """What most likely has failed, in the terms of ISO 14224, and what to check first, in order.

    `machine_type` is the kind of machine that it was written for, "generic" for any.
    """

    machine_type: str
    failure_mode: str
    mechanism: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an advisory fits: the cause, a word in the name of the first tag, and the fault it looks like most.

    No `tags` and no `faults` fit all.
    """

    cause: Cause
    tags: tuple[str, ...]
    faults: tuple[str, ...]
    advisory: Advisory

    def names(self, tag: str) -> bool:
        """Say whether it is about a tag."""
        return not self.tags or any(word in tag.lower() for word in self.tags)


def advisory_of(rules: Sequence[Rule], verdict: Verdict) -> Advisory | None:
    """Return the advisory of the first rule that fits a verdict, None where there is none."""
    tag = verdict.contributions[0].tag if verdict.contributions else ""
    fault = verdict.fault_probabilities[0][0] if verdict.fault_probabilities else ""
    return next(
        (
            rule.advisory
            for rule in rules
            if rule.cause is verdict.cause and rule.names(tag) and (not rule.faults or fault in rule.faults)
        ),
        None,
    )
