"""Where nodes are today: namespaces by URI, browse paths by TranslateBrowsePathsToNodeIds (Part 4, 5.9.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from connectors.frame import NodeAddress, PathAddress
from connectors.link import Clock
from connectors.opcua.limits import Service
from connectors.opcua.paths import steps
from connectors.opcua.times import aware, utc_ns

OpcuaAddress = NodeAddress | PathAddress
HEALTHY: Final = 200
"""Service levels from here on are those of a healthy server (Part 4, 6.6.2.4.2)."""
_WHOLE: Final = 0xFFFFFFFF  # RemainingPathIndex of a path that was followed to its end (Part 4, 5.9.4.2)
_FACTS: Final = [ua.NodeId(ua.Int32(node)) for node in (
    ObjectIds.Server_NamespaceArray, ObjectIds.Server_ServerStatus_StartTime, ObjectIds.Server_ServerStatus_CurrentTime,
    ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion, ObjectIds.Server_ServerStatus_BuildInfo_BuildNumber,
    ObjectIds.Server_ServiceLevel, ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData)]
_LIMITED: Final = (Service.READ, Service.MONITOR, Service.TRANSLATE, Service.HISTORY)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself (Part 5, 6.3 and 12.10).

    `start_time` is when it was started, `skew_ms` its clock minus the gateway's; None where it does not say.
    `build` is its software version and build number, "" where it does not say. `limits` are its operation limits, 0
    where there is none.
    """

    namespaces: tuple[str, ...]
    start_time: datetime | None
    skew_ms: float | None
    service_level: int
    build: tuple[str, str] = ("", "")
    limits: tuple[tuple[Service, int], ...] = ()


async def read_facts(client: Any, clock: Clock) -> Facts:
    """Read them in one request; what asyncua raises is let through."""
    asked_ns = clock.time_ns()
    answers = await client.uaclient.read_attributes(_FACTS, AttributeIds.Value)
    answered_ns = clock.time_ns()
    told = [None if one.Value is None else one.Value.Value for one in answers]
    namespaces, started, now, version, number, level, *limits = told
    skew_ms = None
    if isinstance(now, datetime):
        skew_ms = (utc_ns(now) - (asked_ns + answered_ns) // 2) / 1e6
    return Facts(tuple(str(uri) for uri in namespaces or ()),
                 aware(started) if isinstance(started, datetime) else None, skew_ms,
                 level if isinstance(level, int) else 255,  # a server that has no level has no worse one
                 (str(version or ""), str(number or "")),
                 tuple((service, number) for service, number in zip(_LIMITED, limits, strict=True)
                       if isinstance(number, int)))


async def resolve(client: Any, addresses: Mapping[int, OpcuaAddress], namespaces: Sequence[str],
                  nodes_per_request: int) -> dict[int, ua.NodeId]:
    """Return the node id of each address that has one today, by its key; what asyncua raises is let through."""
    found, paths = {}, {}
    for key, address in addresses.items():
        if isinstance(address, PathAddress):
            if (path := _relative(address, namespaces)) is not None:
                paths[key] = path
        elif address.namespace_uri in namespaces:
            found[key] = node_id(namespaces.index(address.namespace_uri), address.identifier)
    keys = list(paths)
    for i in range(0, len(keys), nodes_per_request):
        batch = keys[i : i + nodes_per_request]
        results = await client.uaclient.translate_browsepaths_to_nodeids([paths[key] for key in batch])
        for key, result in zip(batch, results, strict=True):
            ends = [target.TargetId for target in result.Targets or () if target.RemainingPathIndex == _WHOLE]
            if result.StatusCode.is_good() and ends:
                found[key] = ua.NodeId(ends[0].Identifier, ends[0].NamespaceIndex, ends[0].NodeIdType)
    return found


def node_id(namespace: int, identifier: str) -> ua.NodeId:
    """Return a node id; raise ValueError or asyncua's UaError where the identifier is none."""
    return ua.NodeId.from_string(f"ns={namespace};{identifier}")


def _relative(address: PathAddress, namespaces: Sequence[str]) -> ua.BrowsePath | None:
    """Return the path from the root folder with today's indices; None where the server lacks one of its namespaces."""
    elements = []
    for uri, name in steps(address.path):
        if uri and uri not in namespaces:
            return None
        elements.append(ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences)), IsInverse=cast("ua.Boolean", False),
            IncludeSubtypes=cast("ua.Boolean", True),
            TargetName=ua.QualifiedName(name, namespaces.index(uri) if uri else 0)))
    return ua.BrowsePath(ua.NodeId(ua.Int32(ObjectIds.RootFolder)), ua.RelativePath(elements))
