"""Brackets put together again from published exposures."""

import numpy as np

from livemef.capture.files.image_io import to_8_bit
from livemef.capture.frame import Frame, FrameRecord, Verdict
from livemef.fusion.stream.header import Source
from livemef.tools.run.bracket_stream import KEPT, Assembler
from livemef.tools.run.tasks import to_16_bit
from tests.fusion.stream.stream_samples import header


def frame(sequence: int) -> Frame:
    return Frame(FrameRecord(sequence, 0, "monotonic", 0), np.full((4, 6, 3), sequence, np.uint8))


def fused(*sequences: int, stream: str = "a", epoch: int = 3):
    sources = tuple(Source(seq=number, timestamp_ns=0, clock="monotonic") for number in sequences)
    return header(stream=stream, sources=sources, epoch=epoch, verdict=Verdict.GOOD)


def test_each_bracket_has_the_frames_that_its_header_names_also_when_their_number_changes() -> None:
    assembler = Assembler()
    for number in range(4):
        assembler.take("a", frame(number))
    for sequences in ((0, 1), (2, 1), (0, 2, 3)):
        bracket = assembler.bracket(fused(*sequences))
        assert bracket is not None
        assert [record.sequence for record in bracket.records] == list(sequences)
        assert [int(pixels[0, 0, 0]) for pixels in bracket.pixels] == list(sequences)
        assert {record.bracket_size for record in bracket.records} == {len(sequences)}
        assert [record.index for record in bracket.records] == list(range(len(sequences)))
        assert {record.epoch for record in bracket.records} == {3}
    assert assembler.missed == 0


def test_what_is_missing_is_counted_and_nothing_of_another_stream_stands_in() -> None:
    assembler = Assembler()
    assembler.take("a", frame(0))
    assembler.take("b", frame(1))
    assert assembler.bracket(fused(0, 1)) is None
    assert assembler.bracket(fused(0)) is None
    for number in range(2, KEPT + 3):
        assembler.take("a", frame(number))
    assert assembler.bracket(fused(0, 2)) is None  # forgotten
    assert assembler.missed == 3


def test_bits() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert to_16_bit(codes).max() == 65535
    np.testing.assert_array_equal(to_8_bit(to_16_bit(codes)), codes)
