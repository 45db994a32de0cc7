"""The making of a pack, which the command line and the API share."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from agent.api.present import package_version
from agent.config.file import load
from agent.evidence import contents, pack
from agent.evidence.case import Case, investigate
from agent.evidence.page import Told, page
from agent.store import codec
from agent.store.codec import Json
from agent.trust import KEY, Trust, signing_key
from models.scores import STATISTICS
from models.signature import public_key

WEEK_S: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Evidence:
    """A pack: the file's `content`, what it came to, and whose key signs (`ed25519:...`)."""

    content: bytes
    case: Case
    signer: str


def make(alert_id: str, file: Path, key: Path | None, now_ns: int, told: Callable[[str], None]) -> Evidence:
    """Make the evidence of an alert, `told` what is being done; `key` None signs with the agent's own.

    Raise StoreError where the record cannot be read, ConfigError or BundleError where `file` or the model is of no use.
    """
    config = load(file)
    case = investigate(alert_id, config, told)
    private = signing_key(key or config.agent.state_dir / KEY)
    signer = public_key(private)
    facts = _facts(case, Trust.of(config.agent).origin(case.bundle), pack.sha256(file.read_bytes()), now_ns)
    table = json.loads(case.said.model_dump_json(exclude={"bundle"}, exclude_defaults=True))
    also: dict[str, Json] = {**facts, "replay": case.sentence(), "same": case.same}
    files = contents.files_of(case.incident, case.again, case.bundle, table, also)
    shown = page(
        case.incident,
        None if case.again is None else case.again.course,
        case.bundle.manifest,
        Told(case.sentence(), case.same, facts, files, signer),
    )
    said = {"alert": alert_id, "created": codec.format_time(now_ns)}
    return Evidence(pack.seal(shown, files, said, private), case, signer)


def _facts(case: Case, origin: str, configuration: str, now_ns: int) -> dict[str, str]:
    said, model = case.said, case.bundle
    in_force, when = (said, "now") if case.again is None else (case.again.settings, "then")
    limits = model.statistics.calibration.limits(in_force.alerts_per_s * model.manifest.period_ms / 1000)
    return {
        "Made": f"{codec.format_time(now_ns)[:19].replace('T', ' ')} UTC",
        "Agent": f"forewarn {package_version()}",
        "Computed by": f"onnxruntime {version('onnxruntime')}, numpy {version('numpy')}, "
        f"Python {platform.python_version()}, {platform.machine()}",
        "Model": f"{model.manifest.name}, {origin}, SHA-256 {model.hash}",
        f"Alarm budget {when}": f"{in_force.alerts_per_s * WEEK_S:.3g} a week",
        f"Limits {when}": ", ".join(
            f"{statistic.name} {limit:.4g}".replace("inf", "not used")
            for statistic, limit in zip(STATISTICS, limits.tolist(), strict=True)
        ),
        f"Delays {when}": f"on {in_force.on_delay_s:g} s, off {in_force.off_delay_s:g} s, for the cause at most "
        f"{in_force.cause_delay_s:g} s",
        "Configuration now": f"SHA-256 {configuration}",
    }
