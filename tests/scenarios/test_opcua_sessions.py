"""Complaints about OPC UA sessions and subscriptions, played on a real server behind a proxy that breaks the road."""

from __future__ import annotations

import asyncio
import gc
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from asyncua import ua

from agent.clock import SystemClock
from connectors.frame import is_bad
from connectors.link import LinkState
from connectors.opcua.connector import supervise
from connectors.opcua.endpoint import OpcuaMode
from connectors.opcua.session import Session
from connectors.opcua.trust import OWN_CERTIFICATE, Certificate, TrustList
from tests.connectors.opcua_side import MODES, endpoint, linked, tag
from tests.connectors.pki import make
from tests.connectors.servers import ManualClock, OpcuaPlc, run
from tests.scenarios.stage import all_good, read_until
from tests.wire import OpcuaRecorder, RecordingProxy

CREATE_SESSION, ACTIVATE_SESSION, CLOSE_SESSION, READ, CREATE_ITEMS = 461, 467, 473, 631, 751


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_restarts_gets_one_session_and_no_flood(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """1: a server that restarts is flooded with sessions (influxdata/telegraf#18787).

    Elsewhere: the library's reconnection and the agent's own both open sessions, until the server has none left.
    Here: the library's is off; one connection at a time, one session for each restart.
    """

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, linked(plc.port, mode, [tag("a")], clock) as (link, proxy):
            await read_until(link, clock, all_good)
            for _ in range(3):
                await proxy.refuse()
                proxy.hang_up()
                for _ in range(60):
                    await link.read()
                    clock.advance_s(5)
                    await asyncio.sleep(0.001)
                await proxy.accept()
                await read_until(link, clock, all_good)
            assert proxy.connections_at_once_max == 1
            assert proxy.codes().count(CREATE_SESSION) == 4

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_is_gone_after_a_restart_keeps_no_other_away(
    opcua_plc: OpcuaPlc, downloaded_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    """2: for good offline when one node is unknown after a reconnection (telegraf#19186, #18694).

    Elsewhere: the subscription is not made again because of one BadNodeIdUnknown.
    Here: that tag alone is BadNodeIdUnknown; it is looked up again each minute and comes back by itself.
    """

    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(["a", "b"]) as before,
            downloaded_plc.serving(["a"]) as after,
            linked(before.port, mode, [tag("a"), tag("b")], clock) as (link, proxy),
        ):
            await read_until(link, clock, all_good)
            proxy.target_port = after.port
            proxy.hang_up()
            await read_until(link, clock, lambda f: bool(f.rows) and f.status[-1].tolist() == [0, 0x80340000])
            await after.add("b", 3.0)
            clock.advance_s(61)
            await read_until(link, clock, all_good, step_s=0.0)
            assert link.health.state is LinkState.DELIVERING

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_node_among_good_ones_is_its_own_affair(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """4: one bad node and nothing starts (telegraf#13296, #8871).

    Elsewhere: "Get Data Failed: Status not OK" ends the whole read.
    Here: an unknown node, a node of a text and a node of Bad quality are statuses of those tags; the rest is read.
    """

    async def main() -> None:
        clock, names = ManualClock(), ["a", "nowhere", "text", "broken", "b"]
        async with opcua_plc.serving(["a", "b", "broken"]) as plc:
            await plc.add("text", "hello", ua.VariantType.String)
            await plc.show({"broken": 1.0}, status=0x808C0000)
            async with linked(plc.port, mode, [tag(name) for name in names], clock) as (link, _):
                frame = await link.read()
                assert frame.status[-1].tolist() == [0, 0x80340000, 0x80740000, 0x808C0000, 0]

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_was_off_overnight_is_read_again_within_a_minute(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """5: no reconnection after the server was restarted (thingsboard-gateway#1641, #1264, telegraf#15074).

    Elsewhere: tags stay away until the gateway's service is restarted by hand.
    Here: eight hours without a server, then fresh values within a minute.
    """

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, linked(plc.port, mode, [tag("a")], clock) as (link, proxy):
            await read_until(link, clock, all_good)
            await proxy.refuse()
            proxy.hang_up()
            for _ in range(480):
                await link.read()
                clock.advance_s(60)
            await proxy.accept()
            assert await read_until(link, clock, all_good) <= 61

    run(main)


def test_a_device_that_cannot_be_reached_is_tried_every_few_seconds() -> None:
    """6: minutes of waiting after the first short loss (thingsboard-gateway#1828).

    Elsewhere: 113 s after the first drop; users ask for at most a minute.
    Here: from 1 s, doubling with jitter; at most 10 s where nobody answers, at most 60 s where a device answers and
    refuses.
    """

    async def main() -> None:
        clock, attempts = ManualClock(), []
        nobody = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = nobody.sockets[0].getsockname()[1]
        nobody.close()
        await nobody.wait_closed()
        link = supervise(endpoint(port, OpcuaMode.POLL), [tag("a")], clock)
        for second in range(1200):
            before = link.health.attempts
            await link.read()
            if link.health.attempts > before:
                attempts.append(second)
            clock.advance_s(1)
        waits = [b - a for a, b in pairwise(attempts)]
        assert max(waits) <= 10
        assert min(waits) >= 1
        assert len(attempts) <= 300, "20 minutes"
        await link.close()

    run(main)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpcuaPlc, Path]]:
    """A server that takes encrypted sessions alone, and its certificate."""
    certificate = make(tmp_path_factory.mktemp("pki"), "server")
    plc = OpcuaPlc(security=[ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], certificate=certificate)
    yield plc, certificate[0]
    plc.stop()


def test_a_reconnection_is_encrypted_as_the_first_connection_was(
    secured: tuple[OpcuaPlc, Path], tmp_path: Path
) -> None:
    """7: the connector forgets its security settings when it reconnects (thingsboard-gateway#701).

    Elsewhere: the second session asks for policy None and gets BadSecurityPolicyRejected, or worse, is let in.
    Here: the configured policy and mode or nothing: no session and no value is ever in the clear, before and after.
    """

    async def main() -> None:
        clock, (server, certificate) = ManualClock(), secured
        async with (
            server.serving(["a"]) as plc,
            linked(plc.port, OpcuaMode.POLL, [tag("a")], clock, **encrypted(tmp_path, certificate)) as (link, proxy),
        ):
            for _ in range(3):
                await read_until(link, clock, all_good)
                proxy.hang_up()
                await link.read()
            assert link.health.attempts >= 3
            assert {CREATE_SESSION, ACTIVATE_SESSION, READ}.isdisjoint(proxy.codes()), "in the clear"

    run(main)


def test_a_self_signed_certificate_is_trusted_by_one_command_and_ours_is_made_once(
    secured: tuple[OpcuaPlc, Path], tmp_path: Path
) -> None:
    """13: self-signed servers cannot be trusted, and our own certificate is made anew in a loop (telegraf#17608,
    #11454).

    Elsewhere: no way to trust one certificate; a new client certificate with each start, unknown to the server.
    Here: the refusal names fingerprint and command; what was trusted once stays so; our own certificate stays the same.
    """

    async def main() -> None:
        clock, (server, certificate) = ManualClock(), secured
        async with server.serving(["a"]) as plc:
            how = encrypted(tmp_path, None) | {"trust_command": "forewarn trust agent.toml press"}
            async with linked(plc.port, OpcuaMode.POLL, [tag("a")], clock, **how) as (link, _):
                assert is_bad((await link.read()).status).all()
                fingerprint = Certificate.read(certificate, "it").fingerprint
                assert f"forewarn trust agent.toml press --fingerprint {fingerprint}" in link.health.error
                encrypted(tmp_path, certificate)
                await read_until(link, clock, all_good)
            own = tmp_path / "own" / OWN_CERTIFICATE
            ours = own.read_bytes()
            async with linked(plc.port, OpcuaMode.POLL, [tag("a")], clock, **how) as (link, _):
                await read_until(link, clock, all_good)
            assert own.read_bytes() == ours

    run(main)


def encrypted(pki: Path, trusted: Path | None) -> dict[str, object]:
    """Return the options of an encrypted endpoint whose folder of trust holds this certificate."""
    if trusted is not None:
        TrustList(pki / "trusted").add(Certificate.read(trusted, "the server"))
    return {"pki": pki, "security_policy": "Basic256Sha256", "insecure": False, "timeout_ms": 5000}


def test_a_connect_that_nobody_answers_ends_and_the_next_one_is_new(opcua_plc: OpcuaPlc) -> None:
    """8: connect() hangs for ever after packets were lost (FreeOpcUa/opcua-asyncio#1660).

    Elsewhere: wait_for never fires; what helps is to build the client anew.
    Here: every attempt has a client of its own and an end; the first one to meet a server that talks delivers.
    """

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, RecordingProxy(OpcuaRecorder, plc.port) as proxy:
            proxy.partition()
            link = supervise(endpoint(proxy.port, OpcuaMode.SUBSCRIBE, timeout_ms=1000), [tag("a")], clock)
            for _ in range(5):
                assert is_bad((await link.read()).status).all()
                clock.advance_s(61)
            assert link.health.attempts >= 5
            proxy.heal()
            assert await read_until(link, clock, all_good) <= 61
            await link.close()

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_with_operation_limits_is_asked_for_no_more(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """10: operation limits are left to the user (opcua-asyncio#1551, python-opcua#1121, epics-modules/opcua#201).

    Elsewhere: one request for all nodes is refused with BadTooManyOperations, and nothing is read.
    Here: no request asks for more than the server says; one that is refused nevertheless is halved, and that is
    remembered over reconnections (tests/connectors/test_opcua_limits.py).
    """

    async def main() -> None:
        names, clock = [f"many{i}" for i in range(9)], ManualClock()
        limits = [plc_limit(name) for name in ("MaxNodesPerRead", "MaxMonitoredItemsPerCall")]
        async with opcua_plc.serving(names) as plc:
            for node in limits:
                await plc.call(plc.server.get_node(node).write_value(ua.Variant(4, ua.VariantType.UInt32)))
            try:
                async with linked(plc.port, mode, [tag(name) for name in names], clock) as (link, proxy):
                    await read_until(link, clock, all_good)
                    code = READ if mode is OpcuaMode.POLL else CREATE_ITEMS
                    assert proxy.codes().count(code) >= 3
            finally:
                for node in limits:
                    await plc.call(plc.server.get_node(node).write_value(ua.Variant(10_000, ua.VariantType.UInt32)))

    run(main)


def plc_limit(name: str) -> ua.NodeId:
    return ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}"))


def test_a_subscription_that_expires_again_and_again_costs_no_memory(opcua_plc: OpcuaPlc) -> None:
    """9: memory balloons after "Subscription ... has expired" (opcua-asyncio#116).

    Elsewhere: notifications for subscriptions that are gone pile up.
    Here: a subscription that ends is the end of its client; five of them leave no client, no task and no queue behind.
    """

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc:
            service = plc.server.iserver.subscription_service
            patience = {"keepalive_count": 3, "timeout_ms": 1000}
            async with linked(plc.port, OpcuaMode.SUBSCRIBE, [tag("a")], clock, **patience) as (link, _):

                async def expire() -> tuple[int, int]:
                    await read_until(link, clock, all_good)
                    before = link.health.attempts
                    await plc.call(service.delete_subscriptions(list(service.subscriptions)))
                    await read_until(link, clock, lambda _: link.health.attempts > before, step_s=5)
                    gc.collect()
                    return len(asyncio.all_tasks()), sum(type(each) is Session for each in gc.get_objects())

                first = await expire()
                for _ in range(4):
                    last = await expire()
                assert last[0] <= first[0] + 2, (first, last)
                assert last[1] <= first[1] + 1, (first, last)

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_cable_pulled_leaves_no_more_than_one_ghost_and_for_a_minute(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """11: ghost sessions use up the four or five that a PLC has (node-red-contrib-opcua#608, #317, gopcua#413).

    Elsewhere: each reconnection leaves a session that lives for an hour.
    Here: a session that can be closed is closed; one that cannot was asked to end after 60 s without us.
    """

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, RecordingProxy(SessionTimes, plc.port) as proxy:
            link = supervise(endpoint(proxy.port, mode, timeout_ms=1000, keepalive_count=2), [tag("a")], clock)
            await read_until(link, clock, all_good)
            proxy.partition()
            await read_until(link, clock, lambda f: bool(f.rows) and is_bad(f.status).all(), step_s=0.2)
            proxy.heal()
            await read_until(link, clock, all_good)
            await link.close()
            assert proxy.connections_at_once_max <= 2
            assert proxy.codes().count(CLOSE_SESSION) >= 1
            assert SessionTimes.seen_ms
            assert set(SessionTimes.seen_ms) == {60_000.0}

    run(main)


class SessionTimes(OpcuaRecorder):
    """Takes down the session time-outs that are asked for: the double before the last field of CreateSession."""

    seen_ms: list[float] = []  # noqa: RUF012 - of the one scenario

    @classmethod
    def _service(cls, chunk: bytes, kind: bytes) -> int:
        code = OpcuaRecorder._service(chunk, kind)
        if code == CREATE_SESSION:
            cls.seen_ms.append(struct.unpack("<d", chunk[-12:-4])[0])
        return code


def test_a_plc_is_asked_no_more_often_than_it_was_granted(opcua_plc: OpcuaPlc) -> None:
    """12: the client overloads the PLC (node-red-contrib-opcua#791, #670).

    Elsewhere: a read for each node, reconnections in a loop, subscriptions at 100 ms by default.
    Here: one load guard for all requests to a device; 40 nodes are one read, and no second sees more than was granted.
    """

    async def main() -> None:
        names = [f"n{i}" for i in range(40)]
        async with opcua_plc.serving(names) as plc, RecordingProxy(OpcuaRecorder, plc.port) as proxy:
            where = endpoint(proxy.port, OpcuaMode.POLL, max_requests_per_s=5.0)
            link = supervise(where, [tag(name) for name in names], SystemClock())
            for _ in range(9):
                assert all_good(await link.read())
            await link.close()
            reads = [request.at_s for request in proxy.requests if request.code == 631]
            assert len(reads) == 10, "the namespaces, and one for each row of 40 nodes"
            windows = [sum(0 <= other - begin < 0.95 for other in reads[1:]) for begin in reads[1:]]
            assert max(windows) <= 5

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_value_each_five_minutes_needs_one_session(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """17: with an interval of 5 minutes the session expires between two reads (telegraf#15998).

    Elsewhere: every second sample is lost.
    Here: the session time-out asked for is four times the slowest tag's period.
    """

    async def main() -> None:
        clock = ManualClock()
        slow = replace(tag("a"), period_ms=300_000)
        SessionTimes.seen_ms.clear()
        async with opcua_plc.serving(["a"]) as plc, RecordingProxy(SessionTimes, plc.port) as proxy:
            link = supervise(endpoint(proxy.port, mode), [slow], clock)
            reads = 12 if mode is OpcuaMode.POLL else 1  # a subscription's own time is not the clock that is moved here
            for _ in range(reads):
                assert all_good(await link.read())
                clock.advance_s(300)
            await link.close()
            assert proxy.codes().count(CREATE_SESSION) == 1
            assert min(SessionTimes.seen_ms) > 2 * 300_000

    run(main)
