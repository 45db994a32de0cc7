"""What a person adds to another program's file: what the file cannot say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.commission.address import Connection
from agent.config.base import ConfigError
from agent.config.opcua import OpcuaConfig, is_node, split_node
from connectors.frame import NodeAddress

TAG: Final = "{tag}"
NEEDS_OPCUA: Final = (
    "these tags have names and no Modbus registers; give the address of the OPC UA server that has them with "
    "--at opc.tcp://HOST:PORT, or for Modbus a register map to forewarn discover --map"
)
NEEDS_NODES: Final = (
    "the file names no nodes; say how the server that has these tags names them with --node, {tag} for the name of a "
    'tag: for KEPServerEX --node "nsu=KEPServerEX;s=CHANNEL.DEVICE.{tag}", for Ignition '
    '--node "nsu=URI;s=[DEVICE]{tag}" (forewarn discover shows both parts)'
)


@dataclass(frozen=True, slots=True)
class How:
    """The connection that the tags are read by, and how their addresses are to be understood.

    `node` is a node id in which {tag} stands for a tag's name, `namespaces` the URI of each namespace index, `server`
    the one of several servers, `order` the byte order and `unit_id` the unit where a file names none.
    """

    at: Connection | None = None
    unit_id: int = 1
    order: str | None = None
    node: str | None = None
    namespaces: Mapping[int, str] = field(default_factory=dict)
    server: str | None = None

    def connection(self, forms: str) -> Connection:
        """Return the connection; raise ConfigError that asks for it."""
        if self.at is None:
            raise ConfigError((f"the file does not say where the device is; give its address with --at {forms}",))
        return self.at

    def opcua(self) -> OpcuaConfig:
        """Return the connection, which must be to an OPC UA server; raise ConfigError that asks for it."""
        connection = self.connection("opc.tcp://HOST:PORT")
        if not isinstance(connection, OpcuaConfig):
            raise ConfigError((NEEDS_OPCUA,))
        return connection

    def node_of(self, tag: str, usual: str | None = None) -> NodeAddress:
        """Return the node of a tag by the template, else the `usual` one.

        Raise ConfigError where there is neither, ValueError where the tag's name makes no node.
        """
        template = self.node or usual
        if template is None:
            raise ConfigError((NEEDS_NODES,))
        text = template.replace(TAG, tag)
        if not is_node(text):
            raise ValueError(f"{text!r} is no node")
        return NodeAddress(*split_node(text))


def checked_template(template: str | None) -> str | None:
    """Return a template for nodes; raise ConfigError where it can make none."""
    if template is not None and (TAG not in template or not is_node(template)):
        raise ConfigError((f'--node: got "{template}"; write "nsu=<namespace URI>;s=..." with {TAG} for the tag',))
    return template
