"""Builds the compiled loops when a C compiler is at hand; without one the numpy path and onnxruntime serve."""

import os
import sysconfig

from setuptools import Extension, setup

FLAGS = [
    "-O3",
    "-std=gnu11",  # syscall()
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-ffinite-math-only",
    "-fno-wrapv",  # Python is built with -fwrapv, which keeps loops over int32_t from being vectorised
    "-fopenmp-simd",
]
# For livemef.engine.processor to choose from; a compiler that does not know a flag leaves that one out.
FLAVOURS = {"": []}
if sysconfig.get_platform().endswith(("x86_64", "amd64")):  # of the Python that it is built for
    FLAVOURS["_avx2"] = ["-march=x86-64-v3"]
    FLAVOURS["_avx512"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]


def loops(name, folder, sources, headers):
    """An extension for each flavour of processor."""
    return [
        Extension(
            name + suffix,
            sources=[f"{folder}/{source}.c" for source in sources],
            depends=[f"{folder}/{header}.h" for header in headers],
            extra_compile_args=FLAGS + flags,
            optional=True,
        )
        for suffix, flags in FLAVOURS.items()
        if os.path.exists(folder)
    ]


pixels = ["ghost_mask", "motion", "pixels", "registration", "small", "tone"]
setup(
    ext_modules=loops("livemef.fusion._pixels", "fusion/kernels", pixels, ["lanes", "motion", "pixels", "rows"])
    + loops("livemef.engine._network", "engine/kernels", ["network", "processor"], ["threads"])
)
