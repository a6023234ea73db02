"""Models that somebody else made: what is refused, and that loading one leaves no trace and opens no connection."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper, helper

from livemef.engine.errors import EngineError
from livemef.engine.external_data import has_external_data
from livemef.engine.model_file import read_model
from livemef.engine.open_net import MODELS, open_net
from livemef.engine.protobuf import NotProtobuf

ROOT = Path(__file__).parents[2]
SHIPPED = MODELS / "cbm.onnx"
USE = textwrap.dedent(
    """
    import numpy as np
    from livemef.engine.open_net import open_net
    plane = np.zeros((16, 16), np.float32)
    open_net("cbm", threads=1)(plane, plane)
    """
)


def quiet_environment(home: Path) -> dict[str, str]:
    """As a user has it: onnxruntime also keeps quiet where it sees that it is being tested."""
    suppressing = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "GITHUB_ACTIONS", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in suppressing}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)}


def test_a_network_leaves_no_file_in_the_home_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", USE], env=quiet_environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_network_opens_no_socket(tmp_path: Path) -> None:
    command = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(tmp_path / "calls"), sys.executable]
    done = subprocess.run(
        [*command, "-c", USE], env=quiet_environment(tmp_path / "home"), capture_output=True, text=True, timeout=100
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text() == ""


def test_onnxruntime_is_imported_in_one_place() -> None:
    """Elsewhere its telemetry would have begun."""
    lines = [
        (path.relative_to(ROOT).as_posix(), line)
        for room in ("capture", "engine", "fusion", "calibration", "tools")
        for path in (ROOT / room).rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("import onnxruntime", "from onnxruntime"))
    ]
    assert {name for name, _ in lines} == {"engine/ort.py", "engine/quantization.py"}
    assert (ROOT / "engine/quantization.py").read_text().startswith('"""')
    assert "\nimport livemef.engine.ort" in (ROOT / "engine/quantization.py").read_text()


def with_external_data(path: Path) -> Path:
    model = onnx.load(str(SHIPPED))
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(path))
    return path


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    path = with_external_data(tmp_path / "outside.onnx")
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(EngineError, match="weights in other files"):
        open_net(path, threads=1)


def test_weights_in_another_file_are_found_wherever_a_tensor_may_be() -> None:
    outside = onnx.TensorProto(name="w", data_location=onnx.TensorProto.EXTERNAL)
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=outside))
    inner = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["c"], ["o"], then_branch=inner)
    function = onnx.FunctionProto(name="f", node=[branch])
    sparse = onnx.SparseTensorProto(values=outside)
    for model in (
        onnx.ModelProto(graph=helper.make_graph([constant], "g", [], [])),
        onnx.ModelProto(graph=helper.make_graph([branch], "g", [], [])),
        onnx.ModelProto(functions=[function]),
        onnx.ModelProto(graph=onnx.GraphProto(sparse_initializer=[sparse])),
        onnx.ModelProto(training_info=[onnx.TrainingInfoProto(algorithm=inner)]),
    ):
        assert has_external_data(model.SerializeToString())
    assert not has_external_data(SHIPPED.read_bytes())


def test_damaged_bytes_are_no_protobuf() -> None:
    nested = b""
    for _ in range(80):  # graph in attribute in node in graph ...
        for key in (b"\x32", b"\x2a", b"\x0a"):
            nested = key + varint(len(nested)) + nested
    for data in (b"\xff" * 12, b"\x0a\x05abc", b"\x0f", b"\x3a" + varint(len(nested)) + nested):
        with pytest.raises(NotProtobuf):
            has_external_data(data)


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_names_that_are_not_text_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = SHIPPED.read_bytes()
    for name in (b"lightness", b"multiple"):
        path = tmp_path / "broken.onnx"
        path.write_bytes(data.replace(name, b"\xff\xfe" + name[2:]))
        with pytest.raises(EngineError, match=r"broken\.onnx") as error:
            open_net(path, threads=1)
        assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")  # onnxruntime itself would print, also in the midst of JSON


@pytest.mark.parametrize("multiple", ["²", "9" * 5000, "0", "-16", ""])
def test_a_multiple_that_is_none_is_refused(tmp_path: Path, multiple: str) -> None:
    model = onnx.load(str(SHIPPED))
    helper.set_model_props(model, {"multiple": multiple})
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    with pytest.raises(EngineError, match="multiple"):
        open_net(path, threads=1)


def test_only_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(EngineError, match="not a file"):
        read_model(tmp_path / "pipe.onnx")
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(EngineError, match="256 MiB"):
        read_model(tmp_path / "huge.onnx")
    assert np.frombuffer(read_model(SHIPPED), np.uint8).size == SHIPPED.stat().st_size
