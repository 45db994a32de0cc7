"""Discovery of an OPC UA server, on the wire of a server that holds what plants hold."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from agent import wiring
from agent.config.file import load
from connectors import ConnectorError
from connectors.frame import NodeAddress
from connectors.link import LoadGuard
from connectors.opcua.browse import BrowseLimits, Walk
from connectors.opcua.trust import Certificate
from tests.agent.commands import forewarn
from tests.connectors.pki import make
from tests.connectors.servers import NAMESPACE, ManualClock, OpcuaPlc, run

BAR = int.from_bytes(b"BAR", "big")


async def plant(plc: OpcuaPlc) -> None:
    """Two lines with a press each, and variables of many kinds."""
    index, double = plc.index, ua.VariantType.Double
    objects = plc.server.nodes.objects
    for line in ("Line1", "Line2"):
        folder = await objects.add_folder(plc.node(line), ua.QualifiedName(line, index))
        press = await folder.add_object(plc.node(f"{line}.Press"), ua.QualifiedName("Press", index))

        async def add(name: str, value: object, kind: ua.VariantType = double, line: str = line, press=press):  # type: ignore[no-untyped-def]
            return await press.add_variable(plc.node(f"{line}.Press.{name}"), ua.QualifiedName(name, index), value,
                                            varianttype=kind)

        pressure = await add("pressure", 101.5)
        await pressure.add_property(0, "EngineeringUnits", ua.EUInformation(
            "http://www.opcfoundation.org/UA/units/un/cefact", BAR, ua.LocalizedText("Bar!")))
        await pressure.add_property(0, "EURange", ua.Range(0.0, 200.0))
        await pressure.add_property(0, "InstrumentRange", ua.Range(-10.0, 250.0))
        await pressure.add_property(0, "Vendor", 12.0)
        await pressure.write_attribute(ua.AttributeIds.Description,
                                       ua.DataValue(ua.Variant(ua.LocalizedText("Main cylinder"))))
        stale = await add("stale_range", 900.0)
        await stale.add_property(0, "EURange", ua.Range(0.0, 100.0))
        normal = await add("normal", 7, ua.VariantType.Int16)
        await normal.add_property(0, "EURange", ua.Range(0.0, 100.0))
        await add("running", True, ua.VariantType.Boolean)
        await add("recipe", "A17", ua.VariantType.String)
        await add("trend", [1.0, 2.0])
        motor = await add("motor", 3.5)
        await motor.add_variable(plc.node(f"{line}.Press.motor.speed"), ua.QualifiedName("speed", index), 1500.0)
        secret = await add("secret", 1.0)
        await secret.write_attribute(ua.AttributeIds.UserAccessLevel,
                                     ua.DataValue(ua.Variant(0, ua.VariantType.Byte)))
        await folder.add_reference(press.nodeid, ua.ObjectIds.Organizes, forward=True, bidirectional=False)


@pytest.fixture(scope="module")
def plc() -> Iterator[OpcuaPlc]:
    plc = OpcuaPlc()
    asyncio.run(plc.call(plant(plc)))
    yield plc
    plc.stop()


def url(plc: OpcuaPlc) -> str:
    return f"opc.tcp://127.0.0.1:{plc.port}"


def test_a_server_becomes_a_configuration_that_check_accepts(plc: OpcuaPlc, tmp_path: Path) -> None:
    out = tmp_path / "agent.toml"
    result = forewarn("discover", url(plc), "--insecure", "--max-requests-per-s", 1000, "--out", out)
    assert result.exit_code == 0, result.output
    config = load(out)
    assert set(config.assets) == {"Line1_Press", "Line2_Press"}
    tags = {tag.name: tag for asset, tag in wiring.tags_of(config, "plc") if asset == "Line1_Press"}
    assert list(tags) == ["pressure", "stale_range", "normal", "running", "motor", "motor.speed"]
    assert tags["pressure"].address == NodeAddress(NAMESPACE, "s=Line1.Press.pressure")
    assert (tags["pressure"].unit, tags["pressure"].low, tags["pressure"].high) == ("bar", -10, 250)
    assert (tags["normal"].low, tags["normal"].high, tags["normal"].unit) == (0, 100, "1")
    assert math.isinf(tags["stale_range"].low)
    text = out.read_text(encoding="utf-8")
    assert "# Line1/Press/pressure; Double 101.5; Main cylinder; low and high are its InstrumentRange" in text
    assert "its range, 0 to 100, cannot be right: the value lies outside" in text
    left_out = re.findall(r"^#   Line1/Press/(\w+): (.+)$", text, re.MULTILINE)
    assert left_out == [("recipe", "it is no number (String)"), ("trend", "it is an array"),
                        ("secret", "it may not be read")]
    assert all(f"left out: Line2/Press/{name}: {why}" in result.output for name, why in left_out)
    checked = forewarn("check", "--tags-only", out)
    assert checked.exit_code == 0, checked.output
    assert "12 of 12 tags were read" in checked.output


def test_a_level_of_the_path_can_be_the_machine(plc: OpcuaPlc, tmp_path: Path) -> None:
    out = tmp_path / "agent.toml"
    options = ("--insecure", "--max-requests-per-s", 1000, "--machine-level", 1, "--match", "**/{pressure,speed}")
    result = forewarn("discover", url(plc), *options, "--out", out)
    assert result.exit_code == 0, result.output
    assert [(asset, tag.name) for asset, tag in wiring.tags_of(load(out), "plc")] == [
        (line, name) for line in ("Line1", "Line2") for name in ("Press.pressure", "Press.motor.speed")]


def test_patterns_choose(plc: OpcuaPlc) -> None:
    arguments = ("discover", url(plc), "--insecure", "--max-requests-per-s", 1000)
    result = forewarn(*arguments, "--match", "Line1/**/{pressure,motor}", "--match", "**/running")
    assert result.exit_code == 0, result.output
    assert re.findall(r'^node = "nsu=\S+;s=(.+)"$', result.stdout, re.MULTILINE) == [
        "Line1.Press.pressure", "Line1.Press.running", "Line1.Press.motor", "Line2.Press.running"]
    nothing = forewarn(*arguments, "--match", "**/recipe")
    assert nothing.exit_code == 2
    assert "no number matches **/recipe" in nothing.output
    assert "it is no number (String)" in nothing.output
    assert "its first variables: Line1/Press/pressure, " in nothing.output


@pytest.mark.parametrize(("bound", "said"), [
    (("--max-nodes", 4), "it has more than 4 nodes"), (("--max-depth", 3), "it is deeper than 3 levels")])
def test_a_walk_ends_at_its_bounds_and_says_so(plc: OpcuaPlc, bound: tuple[str, int], said: str) -> None:
    result = forewarn("discover", url(plc), "--insecure", "--max-requests-per-s", 1000, *bound)
    assert said in result.output


def test_what_cannot_be_is_refused_with_what_to_do(plc: OpcuaPlc, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for arguments, said, code in [
        ((url(plc),), "does not offer Basic256Sha256 SignAndEncrypt, and nothing less is taken", 1),
        ((url(plc),), "(None needs insecure as well)", 1),
        ((url(plc), "--insecure", "--map", "x.csv"), "a register map is for Modbus", 2),
        (("opc.tcp://127.0.0.1:1", "--insecure"),
         "cannot connect to OPC UA server opc.tcp://127.0.0.1:1: Connection refused. Remedy: check the address", 1),
        (("192.0.2.1",), "write opc.tcp://HOST:PORT, modbus-tcp://HOST[:PORT]", 2),
        ((url(plc), "--insecure", "--out", tmp_path / "there"), "exists already", 2),
    ]:
        result = forewarn("discover", *arguments)
        assert said in " ".join(result.output.replace("│", " ").split())
        assert result.exit_code == code


def test_a_secured_server_is_browsed_once_its_fingerprint_was_compared(tmp_path: Path) -> None:
    files = make(tmp_path, "server", days=(-1, 9000))
    plc = OpcuaPlc(security=[ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], certificate=files)
    asyncio.run(plc.call(plant(plc)))
    fingerprint = Certificate.read(files[0], "test").fingerprint
    out = tmp_path / "agent.toml"
    arguments = ("discover", url(plc), "--state-dir", tmp_path / "state", "--max-requests-per-s", 1000, "--out", out)
    stranger = forewarn(*arguments)
    assert stranger.exit_code == 1
    assert f"then: the same command with --fingerprint {fingerprint}" in stranger.output
    bare = forewarn("discover", url(plc), "--insecure")
    assert 'does not offer security_policy "None": leave insecure out' in bare.output
    wrong = forewarn(*arguments, "--fingerprint", "AB:CD")
    assert (wrong.exit_code, out.exists()) == (1, False)
    result = forewarn(*arguments, "--fingerprint", fingerprint)
    assert result.exit_code == 0, result.output
    checked = forewarn("check", "--tags-only", out)  # which trusts by the same folder
    assert checked.exit_code == 0, checked.output
    assert "Basic256Sha256, SignAndEncrypt" in checked.output
    plc.stop()


class Pages:
    """A server of one folder with `count` variables that serves few references a time and few nodes a request."""

    def __init__(self, count: int, *, page: int, nodes_max: int, points_max: int) -> None:
        self.variables = [ua.NodeId(f"v{i}", 2) for i in range(count)]
        self._page, self._nodes_max, self._points_max = page, nodes_max, points_max
        self.points: dict[bytes, list[ua.ReferenceDescription]] = {}
        self.released = 0

    def _references(self, node: ua.NodeId) -> list[ua.ReferenceDescription]:
        if node.Identifier == 85:
            folders = [ua.NodeId(f"f{i}", 2) for i in range(2)]
            return [self._reference(one, ua.NodeClass.Object) for one in (*folders, ua.NodeId("secret", 2))]
        if str(node.Identifier).startswith("f"):
            half = self.variables[int(node.Identifier[1:])::2]
            return [self._reference(one, ua.NodeClass.Variable) for one in half]
        return []

    def _reference(self, node: ua.NodeId, kind: ua.NodeClass) -> ua.ReferenceDescription:
        return ua.ReferenceDescription(
            NodeId=ua.ExpandedNodeId(node.Identifier, node.NamespaceIndex), NodeClass=kind,
            BrowseName=ua.QualifiedName(str(node.Identifier), 2), TypeDefinition=ua.ExpandedNodeId(63))

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        if len(parameters.NodesToBrowse) > self._nodes_max:
            raise UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
        return [ua.BrowseResult(ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)) if one.NodeId.Identifier == "secret"
                else self._result(self._references(one.NodeId)) for one in parameters.NodesToBrowse]

    def _result(self, references: list[ua.ReferenceDescription]) -> ua.BrowseResult:
        first, rest = references[:self._page], references[self._page:]
        if rest and len(self.points) >= self._points_max:
            return ua.BrowseResult(ua.StatusCode(ua.StatusCodes.BadNoContinuationPoints))
        point = f"{len(rest)}{first[0].BrowseName.Name}".encode() if rest else None
        if point is not None:
            self.points[point] = rest
        return ua.BrowseResult(ContinuationPoint=point, References=first)

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        taken = [self.points.pop(point) for point in parameters.ContinuationPoints]
        if parameters.ReleaseContinuationPoints:
            self.released += len(taken)
            return []
        return [self._result(rest) for rest in taken]

    async def read(self, parameters: ua.ReadParameters) -> list[ua.DataValue]:
        raise AssertionError("a walk reads no attributes")


def faults(doing: str) -> nullcontext[None]:
    return Naming()


class Naming(nullcontext[None]):
    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if error is not None:
            raise ConnectorError(str(error)) from error


@pytest.mark.parametrize(("page", "nodes_max", "points_max"), [(3, 50, 5), (1, 1, 1), (2, 50, 1), (100, 50, 5)])
def test_every_variable_is_found_once_however_the_server_serves_it(page: int, nodes_max: int, points_max: int) -> None:
    async def main() -> None:
        server = Pages(21, page=page, nodes_max=nodes_max, points_max=points_max)
        guard = LoadGuard(ManualClock(), 10_000, 0)
        walk = Walk(server, faults, guard, 500, BrowseLimits(), lambda *_: None)
        places = await walk.variables()
        assert sorted(place.path[-1] for place in places) == sorted(str(node.Identifier) for node in server.variables)
        assert not server.points
        assert not walk.cut
        assert walk.closed == [(("secret",), "BadUserAccessDenied")]

    run(main)


def test_a_walk_that_ends_early_lets_the_server_forget() -> None:
    async def main() -> None:
        server = Pages(1000, page=10, nodes_max=50, points_max=5)
        walk = Walk(server, faults, LoadGuard(ManualClock(), 10_000, 0), 500, BrowseLimits(nodes=50), lambda *_: None)
        assert len(await walk.variables()) <= 50
        assert walk.cut == "it has more than 50 nodes"
        assert server.released == 2
        assert not server.points

    run(main)
