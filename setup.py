"""Builds the compiled loops when a C compiler is at hand; without one the numpy path and onnxruntime serve."""

import hashlib
import os
import sysconfig
from pathlib import Path

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
FLAVOURS, OF_NETWORK = {"": []}, {}
if sysconfig.get_platform().endswith(("x86_64", "amd64")):  # of the Python that it is built for
    FLAVOURS["_avx2"] = ["-march=x86-64-v3"]
    FLAVOURS["_avx512"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
    OF_NETWORK["_bf16"] = [*FLAVOURS["_avx512"], "-mavx512bf16"]


def loops(name, folder, sources, flavours=FLAVOURS):
    """An extension for each flavour of processor. It carries the digest of its folder's sources, which
    livemef.engine.processor compares at load.
    """
    files = sorted(path for path in Path(folder).glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return [
        Extension(
            name + suffix,
            sources=[f"{folder}/{source}.c" for source in sources],
            depends=[str(path) for path in files],
            define_macros=[("SOURCES_DIGEST", f'"{digest}"')],
            extra_compile_args=FLAGS + flags,
            optional=True,
        )
        for suffix, flags in flavours.items()
        if os.path.exists(folder)
    ]


pixels = [
    "blinking",
    "bracket",
    "compensation",
    "dim_colour",
    "evidence",
    "ghost_mask",
    "information",
    "masks",
    "motion",
    "passes",
    "pixels",
    "pool",
    "registration",
    "small",
    "steering",
    "stream",
]
pixels += ["tone", "windows"]
setup(
    ext_modules=loops("livemef.fusion._pixels", "fusion/kernels", pixels)
    + loops("livemef.engine._network", "engine/kernels", ["network", "processor"], FLAVOURS | OF_NETWORK)
    + [Extension("livemef.capture._sensor", ["capture/kernels/sensor.c"], extra_compile_args=FLAGS, optional=True)]
)
