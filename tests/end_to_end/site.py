"""Machines of two tags that go together, as many as a story needs, and what can be wrong with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.learn import learn
from simulators.modbus import ModbusPlc
from tests.agent.samples import quiet_rows
from tests.end_to_end.place import Place, floats, tag_of

OPEN_CIRCUIT = 3276.7
"""What a temperature shows whose sensor is not connected; it is out of its range."""
FAULT = 6.0
"""What a machine's temperature is higher by in a fault."""
MEASURED = [("pressure", "bar"), ("temperature", "degC")]


class Site(Place):
    """Machines that go together well, or not: each has a `pressure` and a `temperature`, and a tag `cleaning`.

    `faulty`, `broken` (the sensor of its temperature) and `cleaning` say which ones are, `off` by what pressure and
    temperature of one are higher beside that. `keys` are of the table of each asset, `of_assets` of one, `bundle` says
    its model.
    """

    def __init__(
        self, folder: Path, assets: Sequence[str], keys: str = "", of_assets: Mapping[str, str] = {},
        bundle: str = 'bundle = "bundle"\n',
    ) -> None:
        super().__init__(folder, assets, floats(3 * len(assets)))
        self.faulty: set[str] = set()
        self.broken: set[str] = set()
        self.cleaning: set[str] = set()
        self.off: dict[str, tuple[float, float]] = {}
        learn([quiet_rows(800)], MEASURED, 1000, name="m").save(folder / "bundle")
        self._healthy = quiet_rows(1500)
        self.keys, self._of_assets = bundle + keys, of_assets

    def _next_row(self) -> list[float]:
        row: list[float] = []
        for place, asset in enumerate(self.assets):
            pressure, temperature = self._healthy[800 + (self.rows + 7 * place) % 700].tolist()
            of_pressure, of_temperature = self.off.get(asset, (0.0, 0.0))
            temperature += FAULT * (asset in self.faulty) + of_temperature
            temperature = OPEN_CIRCUIT if asset in self.broken else temperature
            row += [pressure + of_pressure, temperature, float(asset in self.cleaning)]
        return row

    def _configuration(self) -> str:
        text = super()._configuration()
        for place, asset in enumerate(self.assets):
            text += (
                f'[assets.{asset}]\nperiod_ms = 1000\non_delay_s = 10\noff_delay_s = 10\n'
                f'suppressed_when = {{ tag = "cleaning", equals = [1] }}\n{self.keys}{self._of_assets.get(asset, "")}'
            )
            for column, (name, unit) in enumerate(MEASURED, 3 * place):
                text += tag_of(asset, column, name, unit) + "low = 0\nhigh = 100\n"
            text += tag_of(asset, 3 * place + 2, "cleaning", "1") + 'use = "context"\n'
        return text

    async def download(self, order: str) -> None:
        """Stop the PLC, and let it come back with a program that keeps its floats in another byte order."""
        tags = [replace(tag, address=replace(tag.address, order=order)) for tag in self.plc.tags]  # type: ignore[type-var]
        await self.plc.stop()
        self.plc = ModbusPlc(tags, port=self.plc.port)
        await self.plc.start()
