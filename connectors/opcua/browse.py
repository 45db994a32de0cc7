"""What a server offers: its address space walked within bounds, and what each variable says of itself.

Beside connectors.opcua.session the one module that imports asyncua at run time. Its requests are Browse, BrowseNext and
Read, through the same filter and under the same load guard as every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Protocol

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames, ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors import ConnectorError
from connectors.frame import BAD, NodeAddress
from connectors.link import Clock, LoadGuard
from connectors.opcua.endpoint import OpcuaEndpoint, check_security
from connectors.opcua.limits import TOO_MANY, Limits, Service
from connectors.opcua.resolve import OpcuaAddress, resolve
from connectors.opcua.session import Session

Path = tuple[str, ...]
"""Browse names from below the Objects folder down to a node."""

_OBJECTS: Final = ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder))
_NAMESPACES: Final = ua.NodeId(ua.Int32(ObjectIds.Server_NamespaceArray))
_BUILD_INFO: Final = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_BuildInfo))
_HIERARCHICAL: Final = ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences))
_PROPERTY_TYPE: Final = ObjectIds.PropertyType
_UNIT, _NORMAL, _INSTRUMENT = "EngineeringUnits", "EURange", "InstrumentRange"
_REFERENCES_PER_NODE: Final = 500
_BROWSES_PER_REQUEST: Final = 50
_NO_NUMBERS: Final = frozenset({*range(12, 24), 25})  # String to DiagnosticInfo; 24 may be anything (Part 6, 5.1.2)
_SCALAR: Final = (-1, -2, -3)  # value ranks that allow a scalar (Part 3, 8.6)
_READABLE: Final = 1  # CurrentRead (Part 3, 8.57)


@dataclass(frozen=True, slots=True)
class BrowseLimits:
    """How far a walk goes: levels below Objects, and nodes that are looked at in all."""

    depth: int = 12
    nodes: int = 20_000


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the address space and what it says of itself.

    `machine` is how many names of `path` lead to the nearest object above it. `kind` is the variant type of its value
    ("Float") and `value` that value, None where it has none now. `unit_code` is the UNECE code of `unit`, "" where
    there is none (Part 8, 5.6.3); `range` is the instrument's, and `normal` that of normal operation (5.6.2, 5.6.4).
    `obstacle` says why it cannot be a tag, "" where it can.
    """

    path: Path
    machine: int
    address: NodeAddress
    kind: str = ""
    value: float | None = None
    status: int = 0
    unit: str = ""
    unit_code: str = ""
    range: tuple[float, float] | None = None
    normal: tuple[float, float] | None = None
    description: str = ""
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """What a walk found: variables in the order of the server.

    `closed` are the nodes that the server would not open, each with the name of its status; `cut` says which bound
    ended the walk early, "" if none did.
    """

    server: str
    variables: tuple[Variable, ...]
    nodes: int
    closed: tuple[tuple[Path, str], ...]
    cut: str


@dataclass(slots=True)
class _Place:
    """A node on the way: what is known of it before its attributes are read."""

    node: ua.NodeId
    path: Path
    machine: int
    is_variable: bool
    properties: dict[str, ua.NodeId] = field(default_factory=dict)


async def browse(endpoint: OpcuaEndpoint, clock: Clock, guard: LoadGuard, wanted: Callable[[Path], bool],
                 limits: BrowseLimits, progress: Callable[[int, int], None]) -> AddressSpace:
    """Walk below the Objects folder and return the variables whose path is wanted; raise ConnectorError.

    `progress` is told how many nodes were seen and how many are still to be looked into.
    """
    check_security(endpoint)
    session = Session(endpoint, (), clock)
    try:
        async with guard:
            await session.connect()
        walk = Walk(session.client.uaclient, session.faults, guard, endpoint.max_nodes_per_request, limits, progress)
        namespaces, server = await walk.introduction()
        places = [place for place in await walk.variables() if wanted(place.path)]
        variables = tuple(await walk.described(places, namespaces))
        return AddressSpace(server, variables, walk.seen, tuple(walk.closed), walk.cut)
    finally:
        await session.close()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a server calls itself, and the variant type of each node's value, "" where it has none."""

    server: str
    kinds: tuple[str, ...]


async def inspect(endpoint: OpcuaEndpoint, nodes: Sequence[OpcuaAddress], clock: Clock, guard: LoadGuard) -> Inspection:
    """Ask a server what it is and how the values of these nodes are typed; raise ConnectorError."""
    check_security(endpoint)
    session, limits = Session(endpoint, (), clock), Limits(endpoint.max_nodes_per_request)
    try:
        async with guard:
            await session.connect()
        async with guard:
            facts = await session.facts()
        limits.say(dict(facts.limits))
        walk = Walk(session.client.uaclient, session.faults, guard, limits.of(Service.READ), BrowseLimits(),
                    lambda *_: None)
        namespaces, server = await walk.introduction()
        with session.faults("find nodes at"):
            found = await resolve(session.client, dict(enumerate(nodes)), namespaces, limits.of(Service.TRANSLATE))
        known = list(found)
        values = await walk.values(list(found.values()))
        kinds = dict(zip(known, map(_kind, values), strict=True))
        return Inspection(server, tuple(kinds.get(i, "") for i in range(len(nodes))))
    finally:
        await session.close()


class Requests(Protocol):
    """What a walk asks of a client: the services Browse, BrowseNext and Read (Part 4, 5.9.2, 5.9.3, 5.11.2)."""

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Ask what the nodes refer to."""

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        """Ask for the rest of answers that were too long."""

    async def read(self, parameters: ua.ReadParameters) -> list[ua.DataValue]:
        """Ask for attributes."""


class Walk:
    """One walk over one session: breadth first, many nodes in a request, each node once.

    `faults` turns what goes wrong during a request into a ConnectorError.
    """

    def __init__(self, client: Requests, faults: Callable[[str], AbstractContextManager[None]], guard: LoadGuard,
                 nodes_per_request: int, limits: BrowseLimits, progress: Callable[[int, int], None]) -> None:
        self._client = client
        self._faults = faults
        self._guard = guard
        self._reads_max = nodes_per_request
        self._browses_max = min(nodes_per_request, _BROWSES_PER_REQUEST)
        self._limits = limits
        self._progress = progress
        self._known: set[ua.NodeId] = {_OBJECTS}
        self._refused: dict[ua.NodeId, str] = {}
        self.closed: list[tuple[Path, str]] = []
        self.cut = ""

    @property
    def seen(self) -> int:
        """How many nodes were met."""
        return len(self._known) - 1

    async def introduction(self) -> tuple[list[str], str]:
        """Return the namespaces, and what the server calls itself."""
        uris, build = await self._read([(_NAMESPACES, AttributeIds.Value), (_BUILD_INFO, AttributeIds.Value)])
        info = _value(build)
        if not isinstance(info, ua.BuildInfo):
            return list(_value(uris) or ()), ""
        parts = (info.ManufacturerName, info.ProductName, info.SoftwareVersion)
        return list(_value(uris) or ()), " ".join(part for part in parts if part)

    async def variables(self) -> list[_Place]:
        """Return all variables but properties, which are kept with what they describe."""
        found: list[_Place] = []
        level = [_Place(_OBJECTS, (), 0, is_variable=False)]
        for _ in range(self._limits.depth):
            below: list[_Place] = []
            for start in range(0, len(level), self._browses_max):
                batch = level[start:start + self._browses_max]
                self._progress(self.seen, len(level) - start + len(below))
                for parent, references in zip(batch, await self._children(batch), strict=True):
                    below += self._places(parent, references)
                if self.cut:
                    return found + [place for place in below if place.is_variable]
            found += [place for place in below if place.is_variable]
            level = below
            if not level:
                return found
        self.cut = f"it is deeper than {self._limits.depth} levels"
        return found

    def _places(self, parent: _Place, references: Sequence[ua.ReferenceDescription]) -> list[_Place]:
        places = []
        for reference in references:
            target, name = reference.NodeId, reference.BrowseName.Name or ""
            node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
            if getattr(target, "ServerIndex", 0) or getattr(target, "NamespaceUri", None):
                continue  # of another server
            is_variable = reference.NodeClass == ua.NodeClass.Variable
            if is_variable and reference.TypeDefinition.Identifier == _PROPERTY_TYPE:
                parent.properties[name] = node
                continue
            if node in self._known or (not parent.path and node.NamespaceIndex == 0):
                continue  # the second way to a node; or what every server has (Server, Aliases, ...)
            if self.seen >= self._limits.nodes:
                self.cut = f"it has more than {self._limits.nodes} nodes"
                break
            self._known.add(node)
            depth = parent.machine if parent.is_variable else len(parent.path)
            places.append(_Place(node, (*parent.path, name), depth, is_variable))
        return places

    async def _children(self, batch: list[_Place]) -> list[list[ua.ReferenceDescription]]:
        """Return what lies below each; those that the server had no continuation point for are asked again alone."""
        results = await self._browse_once([place.node for place in batch])
        for position, found in enumerate(results):
            if found is None:
                (again,) = await self._browse_once([batch[position].node])
                results[position] = again or []
        self.closed += [(place.path, self._refused[place.node]) for place in batch if place.node in self._refused]
        return [found or [] for found in results]

    async def _browse_once(self, nodes: list[ua.NodeId]) -> list[list[ua.ReferenceDescription] | None]:
        """Browse in as many requests as the server allows; None for a node it could not serve among so many."""
        descriptions = [ua.BrowseDescription(
            node, ua.BrowseDirection.Forward, _HIERARCHICAL, True,
            ua.NodeClass.Object | ua.NodeClass.Variable, ua.BrowseResultMask.All) for node in nodes]
        try:
            async with self._guard:
                with self._faults("browse"):
                    results = await self._client.browse(ua.BrowseParameters(
                        ua.ViewDescription(), _REFERENCES_PER_NODE, descriptions))
                    if len(results) != len(nodes):
                        raise ValueError(f"{len(results)} answers for {len(nodes)} nodes")
        except ConnectorError as error:
            if not _is_too_many(error) or len(nodes) == 1:
                raise
            self._browses_max = max(1, len(nodes) // 2)
            return [*await self._browse_once(nodes[:self._browses_max]),
                    *await self._browse_once(nodes[self._browses_max:])]
        found: list[list[ua.ReferenceDescription] | None] = [
            None if result.StatusCode.value == StatusCodes.BadNoContinuationPoints else list(result.References or ())
            for result in results]
        for node, result in zip(nodes, results, strict=True):
            self._refused.pop(node, None)  # its last answer counts
            if result.StatusCode.is_bad():
                self._refused[node] = result.StatusCode.name
        await self._continue(found, {i: result.ContinuationPoint for i, result in enumerate(results)
                                     if result.ContinuationPoint})
        return found

    async def _continue(self, found: list[list[ua.ReferenceDescription] | None], points: dict[int, bytes]) -> None:
        """Fetch the rest of long answers; where the bound of nodes is reached the server may forget it."""
        while points:
            over = sum(len(part or ()) for part in found) + self.seen > self._limits.nodes
            async with self._guard:
                with self._faults("browse"):
                    results = await self._client.browse_next(ua.BrowseNextParameters(
                        over, list(points.values())))
            if over:
                self.cut = f"it has more than {self._limits.nodes} nodes"
                return
            rest = dict(zip(points, results, strict=False))
            for i, result in rest.items():
                part = found[i]
                assert part is not None, "a node without continuation point has no second part"
                part += result.References or ()
            points = {i: result.ContinuationPoint for i, result in rest.items() if result.ContinuationPoint}

    async def described(self, places: Sequence[_Place], namespaces: list[str]) -> list[Variable]:
        """Read what the variables say of themselves, and their values where they are numbers."""
        attributes = (AttributeIds.DataType, AttributeIds.ValueRank, AttributeIds.UserAccessLevel,
                      AttributeIds.Description)
        facts = await self._read([(place.node, attribute) for place in places for attribute in attributes])
        variables = [_first_look(place, facts[4 * i:4 * i + 4], namespaces) for i, place in enumerate(places)]
        usable = [i for i, variable in enumerate(variables) if not variable.obstacle]
        values = await self.values([places[i].node for i in usable])
        wanted = [(i, name, places[i].properties[name]) for i in usable for name in (_UNIT, _NORMAL, _INSTRUMENT)
                  if name in places[i].properties]
        properties = await self._read([(node, AttributeIds.Value) for _, _, node in wanted])
        said: dict[int, dict[str, Any]] = {i: {} for i in usable}
        for (i, name, _), value in zip(wanted, properties, strict=True):
            said[i][name] = _value(value)
        for i, value in zip(usable, values, strict=True):
            variables[i] = _second_look(variables[i], value, said[i])
        return variables

    async def values(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """Read the values of nodes."""
        return await self._read([(node, AttributeIds.Value) for node in nodes])

    async def _read(self, items: list[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        answers: list[ua.DataValue] = []
        while len(answers) < len(items):
            batch = items[len(answers):len(answers) + self._reads_max]
            self._progress(self.seen, len(items) - len(answers))
            try:
                async with self._guard:
                    with self._faults("read from"):
                        part = await self._client.read(ua.ReadParameters(
                            0, ua.TimestampsToReturn.Neither, [ua.ReadValueId(*item) for item in batch]))
                        if len(part) != len(batch):
                            raise ValueError(f"{len(part)} values for {len(batch)} attributes")
            except ConnectorError as error:
                if not _is_too_many(error) or len(batch) == 1:
                    raise
                self._reads_max = len(batch) // 2
                continue
            answers += part
        return answers


def _is_too_many(error: ConnectorError) -> bool:
    """Whether the server refused a request for its size (OperationLimits, Part 5, 6.3.11)."""
    return isinstance(error.__cause__, UaStatusCodeError) and error.__cause__.code in TOO_MANY


def _first_look(place: _Place, facts: Sequence[ua.DataValue], namespaces: list[str]) -> Variable:
    data_type, rank, access, description = map(_value, facts)
    index = place.node.NamespaceIndex
    uri = namespaces[index] if index < len(namespaces) else ""
    address = NodeAddress(uri, place.node.to_string().rpartition(f"ns={index};")[2])
    obstacle = ""
    if isinstance(access, int) and not access & _READABLE:
        obstacle = "it may not be read"
    elif isinstance(rank, int) and rank not in _SCALAR:
        obstacle = "it is an array"
    elif _is_no_number(data_type):
        obstacle = f"it is no number ({_type_name(data_type)})"
    elif not uri:
        obstacle = f"its namespace {index} has no URI"
    text = description.Text if isinstance(description, ua.LocalizedText) else None
    return Variable(place.path, place.machine, address, description=text or "", obstacle=obstacle)


def _second_look(variable: Variable, answer: ua.DataValue, said: dict[str, Any]) -> Variable:
    status = 0 if answer.StatusCode is None else int(answer.StatusCode.value)
    variant = answer.Value
    raw = None if variant is None else variant.Value
    number = raw if isinstance(raw, bool | int | float) and not status & BAD else None
    obstacle = ""
    if raw is not None and number is None and not status & BAD:
        obstacle = "it is an array" if isinstance(raw, list) else "it is no number"
    unit = said.get(_UNIT)
    name, code = (unit.DisplayName.Text or "", _unece(unit)) if isinstance(unit, ua.EUInformation) else ("", "")
    return Variable(
        variable.path, variable.machine, variable.address,
        _kind(answer),
        None if number is None or not isfinite(number) else float(number), status & 0xFFFF0000, name, code,
        _range(said.get(_INSTRUMENT)), _range(said.get(_NORMAL)), variable.description, obstacle)


def _kind(answer: ua.DataValue) -> str:
    return "" if answer.Value is None or answer.Value.Value is None else str(answer.Value.VariantType.name)


def _value(answer: ua.DataValue) -> Any:
    return None if answer.Value is None else answer.Value.Value


def _range(said: object) -> tuple[float, float] | None:
    if isinstance(said, ua.Range) and isfinite(said.Low) and isfinite(said.High) and said.Low < said.High:
        return float(said.Low), float(said.High)
    return None


def _unece(unit: ua.EUInformation) -> str:
    """Return the common code of a unit: its characters are the bytes of the unit id (Part 8, 5.6.3.3)."""
    if not (unit.NamespaceUri or "").endswith("/cefact") or not 0 < unit.UnitId < 1 << 32:
        return ""
    code = unit.UnitId.to_bytes(4, "big").lstrip(b"\0")
    return code.decode("ascii") if code.isalnum() else ""


def _is_no_number(data_type: object) -> bool:
    """Whether a standard data type rules numbers out; the value decides on all others (enumerations, subtypes)."""
    if not isinstance(data_type, ua.NodeId) or data_type.NamespaceIndex != 0:
        return False
    return data_type.Identifier in _NO_NUMBERS


def _type_name(data_type: ua.NodeId) -> str:
    name: str = ObjectIdNames.get(int(str(data_type.Identifier)), data_type.to_string())
    return name
