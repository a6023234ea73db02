import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.cpu import tiling


@given(st.integers(1, 9000), st.sampled_from([1, 8, 16, 32]), st.sampled_from([512, 1024, 2048]))
def test_spans_cover_every_pixel_once_with_overlap_and_alignment(size, multiple, tile):
    spans = tiling.spans(size, multiple, tile)
    kept = np.concatenate([np.arange(size)[span.keep] for span in spans])
    np.testing.assert_array_equal(kept, np.arange(size))
    overlap = tiling.OVERLAP_MULTIPLES * multiple
    for span in spans:
        assert span.read.start % multiple == 0
        assert span.read.start == max(0, span.keep.start - overlap)
        assert span.read.stop == min(size, span.keep.stop + overlap)
        assert span.keep.stop - span.keep.start <= tile + multiple
        np.testing.assert_array_equal(np.arange(size)[span.read][span.inner], np.arange(size)[span.keep])
