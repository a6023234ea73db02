"""The argument of the CUDA kernels that fuse a bracket."""

from __future__ import annotations

from ctypes import Structure, c_double, c_float, c_int32, c_int64, c_uint64

from livemef.fusion.kernels.constants import Constants

MOST_EXPOSURES = 4
"""Of a bracket: `MOST_PICTURES` of kernels/bracket.cuh."""


class Bracket(Structure):
    """See `Bracket` in kernels/bracket.cuh: the same fields in the same order. Addresses are of the device."""

    _fields_ = [
        ("constants", Constants),
        ("pictures", c_uint64 * MOST_EXPOSURES),
        ("out", c_uint64),
        ("strides", c_int64 * MOST_EXPOSURES),
        ("out_stride", c_int64),
        ("decode", c_uint64),
        ("decode_fine", c_uint64),
        ("encode", c_uint64),
        ("row_sums", c_uint64),
        ("small_bgr", c_uint64),
        ("lightness", c_uint64),
        ("chroma", c_uint64),
        ("network_in", c_uint64),
        ("network_out", c_uint64),
        ("lightness_sums", c_uint64),
        ("exponent", c_uint64),
        ("means", c_uint64),
        ("counts", c_uint64),
        ("drift_sums", c_uint64),
        ("drift", c_uint64),
        ("surround", c_uint64),
        ("inside_sums", c_uint64),
        ("target", c_uint64),
        ("window_sums", c_uint64),
        ("coefficients", c_uint64),
        ("smooth_sums", c_uint64),
        ("steering", c_uint64),
        ("window_eps", c_double),
        ("height", c_int32),
        ("width", c_int32),
        ("small_height", c_int32),
        ("small_width", c_int32),
        ("sums_pitch", c_int32),
        ("network_height", c_int32),
        ("network_width", c_int32),
        ("fused_height", c_int32),
        ("fused_width", c_int32),
        ("half", c_int32),
        ("fine_steps", c_int32),
        ("encode_steps", c_int32),
        ("window_radius", c_int32),
        ("chroma_radius", c_int32),
        ("exposures", c_int32),
        ("select", c_int32),
        ("transfer", c_int32),
        ("full", c_int32),
        ("drift_radius", c_int32),
        ("chroma_offset", c_float),
        ("adaptive_target", c_float),
        ("lowest_exponent", c_float),
        ("highest_exponent", c_float),
        ("white", c_float),
        ("most_whitening", c_float),
        ("top_part", c_float),
        ("top_step", c_float),
        ("drift_fall", c_float),
        ("drift_prior", c_float),
        ("drift_strength", c_float),
        ("black_start", c_float),
        ("black_scale", c_float),
        ("surround_scale", c_float),
        ("least_seen", c_float),
        ("share", c_float),
    ]
