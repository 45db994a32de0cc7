"""A sensor that is replaced, second by second: loose, away, and back with another reading."""

from __future__ import annotations

import numpy as np
import pytest

from simulators import swap
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant
from simulators.serve import PlantSource
from simulators.swap import LOOSE_SHARE, SwapSource

TAG, SECOND_NS = "bearing_nde_temperature", 1_000_000_000
TAGS = MACHINES["pump"].tags
COLUMN = [tag.name for tag in TAGS].index(TAG)


def test_it_is_loose_then_away_and_then_another() -> None:
    one = swap.parse(f"{TAG}@600:1200:1500:4", TAGS)
    well, swapped = PlantSource(Plant("pump", 7)), SwapSource(PlantSource(Plant("pump", 7)), [one])
    assert (swapped.name, swapped.tags, swapped.epoch_ns, swapped.period_ns) == ("pump", TAGS, EPOCH_NS, SECOND_NS)
    rows = []
    for second in range(1800):
        (old, old_ns), (new, new_ns) = (source.row(EPOCH_NS + second * SECOND_NS + 5) for source in (well, swapped))
        assert old_ns == new_ns == EPOCH_NS + second * SECOND_NS
        assert np.array_equal(np.delete(old, COLUMN), np.delete(new, COLUMN))
        rows.append((old[COLUMN], new[COLUMN]))
    old, new = np.array(rows, np.float64).T
    more = new - old
    assert not more[:600].any()
    assert (more[600:1200] > 10).mean() == pytest.approx(LOOSE_SHARE, abs=0.06)
    assert set(np.round(more[600:1200], 3)) == {0.0, 15.0}
    assert (new[1200:1500] > TAGS[COLUMN].high).all(), "no value that a sensor gives"
    assert more[1500:] == pytest.approx(4.0, abs=1e-3)
    assert swapped.row(EPOCH_NS + 700 * SECOND_NS)[0][COLUMN] == np.float32(new[700]), "a function of time"


@pytest.mark.parametrize(("text", "said"), [
    ("running@1:2:3:4", "no sensor 'running'"),
    ("nosuch@1:2:3:4", "there are: "),
    (f"{TAG}@1:2:3", "write it as TAG@LOOSE_S:AWAY_S:BACK_S:MORE"),
    (TAG, "write it as TAG@"),
    (f"{TAG}@1:2:3:much", "write it as TAG@"),
    (f"{TAG}@9:2:3:4", "first loose, then away, then back"),
    (f"{TAG}@1:2:2:4", "first loose, then away, then back"),
])
def test_what_is_no_swap_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        swap.parse(text, TAGS)
