"""The daemon's side of commissioning: now and then it looks how each asset stands, and sees to the next step.

It decides from the journal and the record alone, so that a restart in any stage goes on; what it does is decided by a
command to the asset's line, as what people decide is, and therefore in the journal and in the record.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent import child as children
from agent.clock import Clock
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.line import withholding
from agent.line.alert import Alert
from agent.line.event import EventKind
from agent.line.line import LineSettings
from agent.line.spans import Span, length_ns, without
from agent.line.stage import Decide, Decision, Stage
from agent.rehearsal.achieved import Achieved
from agent.replay import TELEMETRY
from agent.shadow import child, versions
from agent.shadow.comparison import Comparison, compare, is_real, may_be_promoted, must_be_rolled_back
from agent.shadow.loading import usable
from agent.shadow.standing import IN_FORCE_KINDS, KINDS, Collected, Standing, in_force_until
from agent.shadow.versions import Version
from agent.store import codec, reading
from agent.store.journal import Journal, StoreError
from agent.worker import Renewal, Worker
from models import bundle as bundles
from models.bundle import BundleError

log = logging.getLogger(__name__)

CHECK_NS: Final = 60_000_000_000
AGAIN_NS: Final = 86_400_000_000_000
"""So long after a model could not be learnt it is tried again, from more of the record."""
TIMEOUT_NS: Final = 12 * 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Models:
    """The hashes of the models that judge an asset: the champion, whose alerts people see, and a challenger, if any."""

    champion: str
    challenger: str | None = None


class Commissioning:
    """Leads each asset from collecting to shadow, and tries challengers; going live is for people to decide."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        worker: Worker,
        clock: Clock,
        settings: Mapping[str, LineSettings],
        load: Callable[[str, Models], Renewal],
        models: Mapping[str, Models],
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        """Begin with the settings of each asset's line, and the models of each that has any.

        `load` says, of an asset and its models, how its line is made anew; it takes a second and may raise BundleError.
        """
        self._config, self._journal, self._worker, self._clock = config, journal, worker, clock
        self._settings, self._load, self._python = settings, load, tuple(python)
        self._models = dict(models)
        self._told: dict[tuple[str, Decision], Standing] = {}
        self._complained: dict[str, str] = {}

    async def run(self) -> None:
        """See to it, for ever; what fails is told, and tried again. One child process works at a time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._each(self._step))
            group.create_task(self._each(self._work))

    def standing(self, asset: str) -> Standing:
        """Return how an asset stands by what is recorded; raise StoreError."""
        return versions.standing(self._config, asset, self._journal)

    def collected(self, asset: str) -> Collected:
        """Return how much is recorded of an asset, without what is not learnt from; raise StoreError."""
        said = self._config.assets[asset]
        recorded = reading.spans(self._config.agent.state_dir / TELEMETRY, asset, said.period_ms)
        recorded_ns = length_ns(without(recorded, self._withheld(asset, self._clock.time_ns())))
        last = self._journal.last_event(asset, (EventKind.LEARNING, EventKind.NOT_LEARNT, EventKind.LEARNT))
        refused = last.comment if last is not None and last.kind is EventKind.NOT_LEARNT else None
        return Collected(recorded_ns / 3.6e12, said.learn_after_h, refused)

    def comparison(self, asset: str, now: Standing) -> Comparison | None:
        """Return what the champion and the challenger of an asset have raised, None without one; raise StoreError."""
        if now.challenger is None:
            return None
        since_ns, judged_s = now.challenged_ns, (0.0, 0.0)
        trial = self._worker.snapshot(asset).trial
        if trial is not None and (trial[0].model_hash, trial[1].model_hash) == (now.model, now.challenger):
            since_ns, judged_s = max(since_ns, trial[1].since_ns), (trial[0].judged_s, trial[1].judged_s)
        champion, stood = self._journal.series(asset, since_ns), self._journal.last_before(asset, since_ns)
        challenger = self._journal.series(versions.series(asset, now.challenger), since_ns)
        alerts_per_s = self._config.assets[asset].alerts_per_s
        return compare(champion, challenger, alerts_per_s, judged_s, since_ns, self._clock.time_ns(), stood)

    def since_promotion(self, asset: str, now: Standing) -> Achieved | None:
        """Return what a promoted model has raised since, against the budget, None for one that was not.

        What people called real does not count, nor what came before the time is counted in which the model judged.
        """
        if now.previous is None:
            return None
        watched = self._worker.snapshot(asset).watched
        if watched is None or watched.model_hash != now.model:  # its line is not made yet
            return Achieved.of(self._config.assets[asset].alerts_per_s, 0, 0.0)
        raised = self._journal.series(asset, max(now.promoted_ns, watched.since_ns))
        alerts = [alert for alert in raised if not is_real(alert)]
        return Achieved.of(self._config.assets[asset].alerts_per_s, len(alerts), watched.judged_s)

    def versions(self, asset: str) -> tuple[Version, ...]:
        """Return the models of an asset; raise StoreError."""
        return versions.versions_of(self._config, asset, self._journal)

    def unusable(self, asset: str, model: str) -> str | None:
        """Return why a model of an asset could not judge it as it is configured, None where it could."""
        try:
            usable(self._config, asset, model)
        except BundleError as error:
            return str(error)
        return None

    def _withheld(self, asset: str, until_ns: int) -> list[Span]:
        """Return when an asset's alerts were withheld, or would have been: it was not at its usual work."""
        return withholding.withheld_anyhow(self._journal.events_of(asset, withholding.EVENTS), until_ns)

    async def _each(self, see_to: Callable[[str], Awaitable[None]]) -> None:
        while True:
            for asset in self._config.assets:
                try:
                    await see_to(asset)
                except (StoreError, BundleError, ConfigError) as error:
                    if self._complained.get(asset) != str(error):
                        log.warning("commissioning waits", extra={"asset": asset, "error": str(error)})
                    self._complained[asset] = str(error)
                else:
                    self._complained.pop(asset, None)
            await self._clock.sleep_until(self._clock.monotonic_ns() + CHECK_NS)

    async def _step(self, asset: str) -> None:
        """Decide what is due, on another thread: it reads the journal, manifests and models."""
        await asyncio.to_thread(self._lead, asset)

    def _lead(self, asset: str) -> None:
        """Decide what is due, and let an asset be judged by the model that it now has."""
        now = self.standing(asset)
        if now.stage is Stage.COLLECTING:
            waits = bool(now.since_ns) and self._clock.time_ns() - now.since_ns < AGAIN_NS
            found = self.collected(asset)
            if not waits and found.recorded_h >= found.needed_h:
                self._decide(asset, now, Decision.LEARN, f"{found.recorded_h:.3g} hours are recorded to learn from")
        elif now.model is not None:
            wanted = Models(now.model, now.challenger)
            if self._models.get(asset) != wanted:
                self._renew(asset, now, wanted)
            elif not (self._note_in_force(asset, now, now.model) or self._rule(asset, now)):
                self._welcome(asset, now)

    def _renew(self, asset: str, now: Standing, wanted: Models) -> None:
        """Let an asset be judged by other models than it is; a challenger that cannot be used is dismissed."""
        try:
            renewal = self._load(asset, wanted)
        except BundleError as error:
            if wanted.challenger is None:
                raise
            self._decide(asset, now, Decision.DISMISS, str(error), wanted.challenger)
            return
        self._worker.renew(asset, renewal)
        self._models[asset] = wanted

    def _note_in_force(self, asset: str, now: Standing, model: str) -> bool:
        """Record that a model judges an asset which nothing in the journal says, and whether it is an older one."""
        past = self._journal.events_of(asset, IN_FORCE_KINDS)
        if past and past[-1].about == model:
            return False
        if self._is_told(asset, now, Decision.IN_FORCE):
            return True
        comment = versions.origin(self._config, asset, model)
        if model == versions.configured(self._config, asset):
            comment = f"the configuration names it; {comment}"
        if (until_ns := in_force_until(past, model)) is not None:
            comment = (
                f"an older model: it was replaced {codec.format_time(until_ns)[:19]}Z, and nobody has rolled back to "
                f"it; {comment}. Find out who put it back, and why"
            )
            log.warning("an older model judges again", extra={"asset": asset, "model": model, "said": comment})
        self._decide(asset, now, Decision.IN_FORCE, comment, model)
        return True

    def _welcome(self, asset: str, now: Standing) -> None:
        """Let a model that was put beside the others, and that nobody has decided of yet, be the challenger."""
        known = {event.about for event in self._journal.events_of(asset, KINDS)} | {now.model}
        for model, path in versions.learnt(self._config, asset).items():
            if model not in known:
                bundle = bundles.load(path)
                comment = f"{bundle.manifest.name}, learnt from {bundle.manifest.learnt_from or 'what nobody said'}"
                self._decide(asset, now, Decision.CHALLENGE, comment, model)
                return

    def _rule(self, asset: str, now: Standing) -> bool:
        """Roll back what has left the budget, promote what may be; say whether anything was decided."""
        said = self._config.assets[asset]
        promoted, compared = self.since_promotion(asset, now), self.comparison(asset, now)
        if promoted is not None and must_be_rolled_back(promoted):
            assert now.previous is not None
            usable(self._config, asset, now.previous)  # or nothing would watch the machine
            self._decide(asset, now, Decision.ROLL_BACK, promoted.sentence(), now.previous)
            return True
        if said.promote == "rule" and compared is not None and may_be_promoted(compared, said.promote_after_days):
            comment = f"it raised all that the champion raised; {compared.challenger.sentence()}"
            self._decide(asset, now, Decision.PROMOTE, comment, now.challenger)
            return True
        return False

    async def _work(self, asset: str) -> None:
        """Do what takes long."""
        now = await asyncio.to_thread(self.standing, asset)
        if now.stage is Stage.LEARNING:
            await self._learn(asset, now)
        elif now.stage is Stage.SHADOW and now.model is not None:
            await self._look_back(asset, now, now.model)

    def _decide(self, asset: str, now: Standing, decision: Decision, comment: str, about: str | None = None) -> None:
        """Tell the asset's line; once for each standing, for that changes only with its next row."""
        command = Decide(asset, decision, None, self._clock.time_ns(), comment, about)
        if not self._is_told(asset, now, decision) and self._worker.submit(asset, command):
            self._told[asset, decision] = now

    def _is_told(self, asset: str, now: Standing, *decisions: Decision) -> bool:
        return any(self._told.get((asset, decision)) == now for decision in decisions)

    async def _learn(self, asset: str, now: Standing) -> None:
        if self._is_told(asset, now, Decision.LEARNT, Decision.NOT_LEARNT):
            return
        said = self._config.assets[asset]
        tags = [
            (tag.name, tag.unit, tag.period_ms or said.period_ms, tag.max_rate)
            for tag in said.columns if tag.use == "model"
        ]
        state_dir, until_ns = self._config.agent.state_dir, now.since_ns
        withheld = await asyncio.to_thread(self._withheld, asset, until_ns)
        answer = await self._ask(child.learning(state_dir, asset, tags, said.period_ms, until_ns, withheld))
        if refused := answer.get("refused"):
            self._decide(asset, now, Decision.NOT_LEARNT, refused)
            return
        regimes = f"{answer['regimes']} operating regime{'s' * (answer['regimes'] > 1)}"
        comment = f"{answer['rows']:,} rows were learnt from, {regimes} found in them"
        if left_out := answer["rows_without"]:
            comment += f"; {left_out:,} from when its alerts would have been withheld are left out"
        self._decide(asset, now, Decision.LEARNT, comment, answer["model"])

    async def _look_back(self, asset: str, now: Standing, model: str) -> None:
        """Record, once for each model, what it would have raised before it began to judge."""
        asked = await asyncio.to_thread(self._to_look_back, asset, now, model)
        if asked is None:
            return
        answer = await self._ask(asked)
        alerts = [codec.decode(one) for one in answer["alerts"]]
        await asyncio.to_thread(self._keep, alerts)
        comment = f"{len(alerts)} alert{'s' * (len(alerts) != 1)} would have been raised in what was recorded before"
        self._decide(asset, now, Decision.LOOKED_BACK, comment, model)

    def _to_look_back(self, asset: str, now: Standing, model: str) -> dict[str, Any] | None:
        """Return what to ask, None where that was looked at already."""
        looked = self._journal.events_of(asset, (EventKind.LOOKED_BACK,))
        if any(event.about == model for event in looked) or self._is_told(asset, now, Decision.LOOKED_BACK):
            return None
        path = versions.path_of(self._config, asset, model)
        if path is None:
            raise BundleError(f"the model {versions.version(model)} of {asset} is not there any more")
        settings, until_ns = self._settings[asset], now.since_ns or self._clock.time_ns()
        tags = [(tag.name, tag.unit) for tag in self._config.assets[asset].columns]
        return child.looking_back(self._config.agent.state_dir, asset, path, settings, tags, until_ns)

    def _keep(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if self._journal.alert(alert.id) is None:  # a stop may have come in between
                self._journal.record(alert)

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what a child process answers; raise StoreError where it cannot."""
        command = (*self._python, "-m", "agent.shadow.child")
        try:
            ended = await children.run(command, self._clock, TIMEOUT_NS, json.dumps(asked).encode())
        except OSError as error:
            raise StoreError(f"{self._python[0]} cannot be started: {error.strerror}") from error
        if ended.hung or ended.code:
            raise StoreError(f"a child process ended with {ended.code}: {ended.complaint or 'it was hung'}")
        found: dict[str, Any] = json.loads(ended.said)
        return found
