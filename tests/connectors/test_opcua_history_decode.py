"""Answers to HistoryRead, by our decoder and by asyncua's, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import extensionobject_to_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.channel import FAULTS
from connectors.opcua.history import history_response
from tests.connectors.test_opcua_decode import check, through_the_wire, values


def response(histories: Sequence[tuple[int, bytes, list[ua.DataValue]]]) -> bytes:
    results = [ua.HistoryReadResult(ua.StatusCode(ua.UInt32(code)), continuation or None, ua.HistoryData(sent))
               for code, continuation, sent in histories]
    return bytes(struct_to_binary(ua.HistoryReadResponse(Results=results)))


@given(st.lists(st.tuples(st.sampled_from([0, 0x00A50000, 0x80720000]), st.binary(max_size=8), values()), max_size=5))
def test_histories_are_what_asyncua_says_they_are(
    histories: list[tuple[int, bytes, list[ua.DataValue]]]
) -> None:
    found = history_response(response(histories))
    assert [(one.status, one.continuation) for one in found] == [(code, point) for code, point, _ in histories]
    for one, (_, _, sent) in zip(found, histories, strict=True):
        check(one.values, through_the_wire(sent))


@given(st.data())
def test_a_damaged_history_is_refused_or_read_but_never_more_than_there_is(data: st.DataObject) -> None:
    whole = response([(0, b"on", [ua.DataValue(ua.Variant(1.5))] * 4), (0, b"", [])])
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        if place < len(damaged):
            damaged[place] = data.draw(st.integers(0, 255))
    with suppress(*FAULTS):
        assert sum(len(one.values.raw) for one in history_response(bytes(damaged))) <= len(whole)


def test_a_history_of_no_body_is_empty_and_one_longer_than_its_message_is_refused() -> None:
    empty = ua.HistoryReadResponse(Results=[ua.HistoryReadResult(ua.StatusCode(ua.UInt32(0x80720000)))])
    one, = history_response(bytes(struct_to_binary(empty)))
    assert len(one.values.raw) == 0
    whole = response([(0, b"", [ua.DataValue(ua.Variant(1.5))])])
    body = extensionobject_to_binary(ua.HistoryData([ua.DataValue(ua.Variant(1.5))]))
    longer = whole.replace(body[5:9], struct.pack("<i", 1000))
    with pytest.raises(ValueError, match="1000 bytes"):
        history_response(longer)
