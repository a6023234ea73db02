"""Builds the compiled pixel loops when a C compiler is at hand; without one the numpy path serves."""

import os

from setuptools import Extension, setup

pixels = Extension(
    "livemef.fusion._pixels",
    sources=[f"fusion/kernels/{name}.c" for name in ("ghost_mask", "motion", "pixels", "registration", "small")],
    depends=["fusion/kernels/motion.h", "fusion/kernels/pixels.h", "fusion/kernels/rows.h"],
    extra_compile_args=[
        "-O3",
        "-std=c11",
        "-ffp-contract=fast",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fno-signed-zeros",
        "-ffinite-math-only",
        "-fno-wrapv",  # Python is built with -fwrapv, which keeps loops over int32_t from being vectorised
        "-fopenmp-simd",
    ],
    optional=True,
)
setup(ext_modules=[pixels] if os.path.exists("fusion/kernels/pixels.c") else [])
