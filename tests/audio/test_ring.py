from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.audio.ring import RingBuffer


def ramp(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_every_frame_comes_out_at_its_index_or_is_counted_lost(steps: list) -> None:
    ring = RingBuffer(50, 1)
    assert ring.read(0) is None
    written, received = 0, 0
    for is_write, count in [*steps, (False, 0), (False, 0), (False, 0)]:
        if is_write:
            ring.write(ramp(written, count))
            written += count
            continue
        block = ring.read(0)
        if block is not None:
            # The value of each frame is its index among all frames ever written.
            assert np.array_equal(block.samples, ramp(block.start, len(block.samples)))
            received += len(block.samples)
    while (block := ring.read(0)) is not None:
        assert np.array_equal(block.samples, ramp(block.start, len(block.samples)))
        received += len(block.samples)
    assert received + ring.lost == written


def test_a_loss_is_declared_on_the_block_after_it() -> None:
    ring = RingBuffer(10, 1)
    assert ring.read(0) is None
    ring.write(ramp(0, 8))
    ring.write(ramp(8, 5))  # no room
    first = ring.read(0)
    assert first is not None
    assert (first.start, len(first.samples), first.gap) == (0, 8, False)
    ring.write(ramp(13, 4))
    second = ring.read(0)
    assert second is not None
    assert (second.start, len(second.samples), second.gap) == (13, 4, True)
    assert ring.lost == 5


def test_what_a_card_lost_is_counted() -> None:
    ring = RingBuffer(20, 1)
    ring.write(ramp(0, 5))
    ring.write(ramp(12, 4), gap=True, missing=7)
    found = [ring.read(0), ring.read(0)]
    assert [(b.start, len(b.samples), b.gap) for b in found if b] == [(0, 5, False), (12, 4, True)]
    assert ring.lost == 7


def test_before_anybody_reads_the_oldest_is_dropped() -> None:
    """A model may take longer to load than the ring holds."""
    ring = RingBuffer(10, 1)
    for start in range(0, 28, 4):
        ring.write(ramp(start, 4))
    block = ring.read(0)
    assert block is not None
    assert (block.start, block.gap) == (18, True)
    assert np.array_equal(block.samples, ramp(18, 10))
    ring.write(ramp(28, 4))
    block = ring.read(0)
    assert block is not None
    assert (block.start, block.gap) == (28, False)
    assert ring.lost == 18


def test_a_gap_inside_of_what_is_left_is_declared() -> None:
    ring = RingBuffer(10, 1)
    ring.write(ramp(0, 6))
    ring.write(ramp(6, 3), gap=True)
    ring.write(ramp(9, 4))
    found = [ring.read(0), ring.read(0)]
    assert [(b.start, len(b.samples), b.gap) for b in found if b] == [(3, 3, True), (6, 7, True)]
    assert ring.lost == 3


def test_an_uncounted_loss_splits_the_blocks() -> None:
    ring = RingBuffer(20, 1)
    ring.write(ramp(0, 5))
    ring.write(ramp(5, 5), gap=True)
    blocks = [ring.read(0), ring.read(0)]
    assert [(b.start, len(b.samples), b.gap) for b in blocks if b] == [(0, 5, False), (5, 5, True)]


def test_what_was_read_does_not_change_when_the_ring_wraps() -> None:
    ring = RingBuffer(4, 1)
    ring.write(ramp(0, 4))
    block = ring.read(0)
    ring.write(ramp(4, 4))
    assert block is not None
    assert np.array_equal(block.samples, ramp(0, 4))


def test_what_was_read_is_a_view_until_the_next_read() -> None:
    ring = RingBuffer(4, 1)
    ring.write(ramp(0, 3))
    first = ring.read(0)
    ring.write(ramp(3, 3))  # across the end
    second = ring.read(0)
    assert first is not None
    assert second is not None
    assert np.shares_memory(first.samples, second.samples)
    assert np.array_equal(second.samples, ramp(3, 3))


def test_writer_is_told_what_the_reader_waits_for_and_when() -> None:
    ring = RingBuffer(100, 1)
    ring.write(ramp(0, 3))
    assert ring.missing() == 0, "nobody waits"
    reader = threading.Thread(target=lambda: ring.read(5.0, 10))
    reader.start()
    while not ring.missing():
        ring.rest(5.0)  # until the reader asks
    assert ring.missing() == 7
    ring.write(ramp(3, 7))
    reader.join(5.0)
    assert not reader.is_alive()
    assert ring.missing() == 0
    ring.close()
    ring.rest(60.0)  # does not keep who closes waiting


def test_more_than_the_ring_holds_is_not_waited_for() -> None:
    ring = RingBuffer(10, 1)
    ring.write(ramp(0, 10))
    block = ring.read(0, 1000)
    assert block is not None
    assert len(block.samples) == 10


def test_reader_sleeps_until_what_it_asked_for_is_there() -> None:
    ring = RingBuffer(100, 1)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.append(len(ring.read(5.0, 10).samples)))  # type: ignore[union-attr]
    reader.start()
    ring.write(ramp(0, 4))
    ring.write(ramp(4, 6))
    reader.join(5.0)
    assert got == [10]


def test_what_is_left_comes_out_after_closing_then_none() -> None:
    ring = RingBuffer(100, 1)
    ring.write(ramp(0, 3))
    ring.close()
    block = ring.read(5.0, 50)
    assert block is not None
    assert len(block.samples) == 3
    assert ring.read(5.0, 50) is None


def test_patience_is_counted_from_the_last_sound() -> None:
    ring = RingBuffer(100, 1)

    def trickle() -> None:
        for start in range(0, 9, 3):
            time.sleep(0.3)
            ring.write(ramp(start, 3))

    writer = threading.Thread(target=trickle)
    begin = time.monotonic()
    writer.start()
    assert ring.read(0.75, 50) is None
    assert time.monotonic() - begin >= 0.9 + 0.5
    writer.join()


def test_a_stopped_process_does_not_blame_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGSTOP and SIGCONT a single wait may have taken an hour."""
    ring = RingBuffer(100, 1)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def wait(timeout: float) -> bool:
        clock[0] += 3600
        if clock[0] > 3600:
            ring.write(ramp(0, 5))
        return False

    monkeypatch.setattr(ring._arrived, "wait", wait)
    block = ring.read(3.0)
    assert block is not None
    assert len(block.samples) == 5
