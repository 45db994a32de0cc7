"""What every table of the configuration shares: strictness, paths, names, and the error that tells all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


class ConfigError(Exception):
    """A configuration is refused; `problems` holds one sentence for each thing that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _path(value: object, info: ValidationInfo) -> object:
    """Take a path as text, relative to the folder of the configuration file."""
    if value is None or isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"got {value!r}; allowed: a path in quotes, relative to the folder of this file")
    folder: Path = info.context["folder"] if info.context else Path()
    return folder / Path(value).expanduser()


FilePath = Annotated[Path, BeforeValidator(_path)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
TimeoutMs = Annotated[int, Field(ge=10, le=60_000)]
PeriodMs = Annotated[int, Field(ge=10, le=3_600_000)]


class Model(BaseModel):
    """What every table of the file shares: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)


class ConnectionConfig(Model):
    """What every connection has: how long to wait, and how much load the PLC may be given."""

    timeout_ms: TimeoutMs = Field(default=1000, description="milliseconds to wait for a reply")
    max_requests_per_s: float = Field(default=10.0, gt=0, le=1000, description="requests per second, at most")
