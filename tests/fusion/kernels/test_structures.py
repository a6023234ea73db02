"""Structures that Python fills for compiled loops have the fields of the C sources: names, order and types.

A library is refused at load unless it was built of the sources that lie there (engine/processor.py), so that what is
compared with these holds for what is called.
"""

import re
from ctypes import Array, Structure, c_double, c_float, c_int32, c_int64, c_ssize_t, c_uint64, c_void_p
from pathlib import Path

import pytest

from livemef.engine import compiled_network
from livemef.fusion.cpu import (
    compiled,
    compiled_bracket,
    compiled_compensation,
    compiled_evidence,
    compiled_information,
    compiled_maps,
    compiled_motion,
    compiled_passes,
    compiled_steering,
    compiled_stream,
)
from livemef.fusion.cuda import kernel_argument, motion
from livemef.fusion.kernels import constants, shared_library

ROOT = Path(__file__).parents[3]
FUSION, ENGINE = ROOT / "fusion" / "kernels", ROOT / "engine" / "kernels"

STRUCTURES = {
    constants.Ramp: (FUSION / "pixels.h", "Ramp"),
    constants.Curve: (FUSION / "pixels.h", "Curve"),
    constants.Constants: (FUSION / "pixels.h", "Constants"),
    shared_library.Picture: (FUSION / "rows.h", "Picture"),
    compiled._Tables: (FUSION / "pixels.c", "Tables"),
    compiled._Input: (FUSION / "job.h", "Input"),
    compiled._Job: (FUSION / "job.h", "Job"),
    compiled_passes.Pass: (FUSION / "passes.c", "Pass"),
    compiled_bracket._Bracket: (FUSION / "bracket.c", "Bracket"),
    compiled_steering._Showing: (FUSION / "steering.h", "Showing"),
    compiled_compensation.CompensationCall: (FUSION / "motion.h", "Compensation"),
    compiled_compensation._Replacement: (FUSION / "compensation.c", "Replacement"),
    compiled_motion._Moved: (FUSION / "grids.h", "Moved"),
    compiled_information._Decision: (FUSION / "information.c", "Decision"),
    compiled_maps._Learning: (FUSION / "evidence.c", "Learning"),
    compiled_maps._Balance: (FUSION / "evidence.c", "Balance"),
    compiled_maps._Moving: (FUSION / "evidence.c", "Moving"),
    compiled_evidence.Tinting: (FUSION / "grids.h", "Tinting"),
    compiled_evidence.Clipping: (FUSION / "grids.h", "Clipping"),
    compiled_stream.Search: (FUSION / "grids.h", "Search"),
    compiled_stream.AllowedCall: (FUSION / "grids.h", "Allowed"),
    compiled_stream.NoiseCall: (FUSION / "grids.h", "Noise"),
    compiled_stream.Measure: (FUSION / "grids.h", "Measure"),
    compiled_stream.LightsOut: (FUSION / "grids.h", "Lights"),
    compiled_stream._Alignment: (FUSION / "stream.c", "Alignment"),
    compiled_stream._Following: (FUSION / "stream.c", "Following"),
    compiled_stream._Observation: (FUSION / "stream.c", "Observation"),
    compiled_stream._Difference: (FUSION / "stream.c", "Difference"),
    kernel_argument.Bracket: (FUSION / "bracket.cuh", "Bracket"),
    motion.Remake: (FUSION / "bracket.cuh", "Remake"),
    compiled_network._Layer: (ENGINE / "network.c", "Layer"),
    compiled_network._Network: (ENGINE / "network.c", "Network"),
    compiled_network._Picture: (ENGINE / "network.c", "Picture"),
    compiled_network._Team: (ENGINE / "threads.h", "Team"),
    compiled_network._Run: (ENGINE / "network.c", "Run"),
}
NAMES = {c_float: "float", c_double: "double", c_int32: "int32_t", c_void_p: "*", c_uint64: "*"}
"""The C types of ctypes' numbers; 64 bits without a sign are an address of a GPU."""
LONG = {"ptrdiff_t": c_ssize_t, "int64_t": c_int64}


def fields_in_c(text, name, numbers=None):
    """(name, type, elements) of each field of a structure in C source; of a pointer the type is "*"."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    found = re.search(rf"struct {name} {{([^{{}}]*)}};", text) or re.search(
        rf"typedef struct {{([^{{}}]*)}} {name};", text
    )
    assert found, f"no structure {name}"
    return [field for line in found[1].split(";") if line.strip() for field in fields_of(line, numbers or {})]


def fields_of(declaration, numbers):
    """Of one declaration, such as `const float *a, b[3]`."""
    words = re.sub(r"\b(const|restrict|_Atomic|struct)\b", " ", declaration).strip()
    kind, rest = re.match(r"(\w+)\s*(.*)", words, re.S).groups()
    for declared in re.split(r",(?![^\[]*\])", rest):
        of_arrays = re.match(r"\s*\(\s*\*(\w+)\s*\)", declared)
        if of_arrays:
            yield of_arrays[1], "*", 1
            continue
        stars, name, size = re.match(r"\s*([*\s]*)(\w+)\s*(?:\[(.+)\])?\s*$", declared, re.S).groups()
        yield name, "*" if "*" in stars else kind, 1 if size is None else eval(size, {}, numbers)


def fields_in_python(structure):
    """The same of a ctypes structure."""
    for name, kind in structure._fields_:
        count = 1
        if issubclass(kind, Array):
            kind, count = kind._type_, kind._length_
        yield name, STRUCTURES[kind][1] if issubclass(kind, Structure) else NAMES.get(kind, kind), count


def defined_numbers(path):
    """Numbers that the sources beside a file define; the first value counts."""
    texts = [path.read_text(), *(other.read_text() for other in sorted(path.parent.glob("*.[hc]*")))]
    found = [pair for text in texts for pair in re.findall(r"^#define (\w+) (\d+)\b", text, re.M)]
    return {name: int(value) for name, value in reversed(found)}


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: f"{structure.__module__}.{structure.__name__}")
def test_has_the_fields_of_the_source(structure):
    path, name = STRUCTURES[structure]
    expected = fields_in_c(path.read_text(), name, defined_numbers(path))
    assert list(fields_in_python(structure)) == [
        (field, LONG.get(kind, kind), count) for field, kind, count in expected
    ]


def test_no_structure_is_left_out():
    ours = {
        one
        for one in Structure.__subclasses__()
        if re.match(r"livemef\.(fusion\.(cpu|cuda|kernels)|engine)", one.__module__)
    }
    assert ours == set(STRUCTURES)


def test_tells_swapped_fields_of_one_type():
    path, name = STRUCTURES[compiled_bracket._Bracket]
    text = path.read_text()
    swapped = text.replace("*target, *room,", "*room, *target,")
    assert swapped != text
    assert fields_in_c(swapped, name) != fields_in_c(text, name) == list(fields_in_python(compiled_bracket._Bracket))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("typedef struct {\n const float *a, b[2 * N]; /* c; */\n} S;", [("a", "*", 1), ("b", "float", 6)]),
        ("struct S {\n double move[3], x;\n};", [("move", "double", 3), ("x", "double", 1)]),
        (
            "typedef struct {\n float (*levels)[2];\n _Atomic int32_t a, *b;\n} S;",
            [("levels", "*", 1), ("a", "int32_t", 1), ("b", "*", 1)],
        ),
    ],
)
def test_reads_declarations(source, expected):
    assert fields_in_c(source, "S", {"N": 3}) == expected
