"""Every program in examples/, run as its first line says, and those printed in README and docs/python.md."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
import pytest

import livemef
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.publisher import Publisher
from tests.fusion.stream.stream_samples import header, ramp
from tests.tools.command import write_scene

EXAMPLES = Path(__file__).parents[1] / "examples"
README = EXAMPLES.with_name("README.md")
GUIDE = EXAMPLES.with_name("docs") / "python.md"
CAMERA = "sim://?size=320x240&scene=chart&fps=60"
LIMIT_S = 100
PICTURE = ramp(np.uint8, 30, 50)


def example(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / name, *arguments]
    return finished([str(word) for word in command], folder)


def finished(command: list[str], folder: Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[str]:
    """The endpoint of a stream that goes on until the test ends."""
    ended = Event()
    with Publisher(f"ipc://{tmp_path}/stream") as publisher:

        def publish() -> None:
            seq = 0
            while not ended.wait(0.02):
                seq += publisher.publish("fused", header(seq), PICTURE)

        thread = Thread(target=publish)
        thread.start()
        yield publisher.address
        ended.set()
        thread.join()


def test_fuse_two_files(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene", dtype="uint16")
    example("fuse_two_files.py", scene / "over.png", scene / "under.png", "fused.png", folder=tmp_path)
    assert cv2.imread(str(tmp_path / "fused.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    command = [sys.executable, str(EXAMPLES / "fuse_two_files.py"), "missing.png", "missing.png", "fused.png"]
    assert finished(command, tmp_path, expected=1).stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["fuse_arrays.py", "own_camera.py"])
def test_programs_that_make_a_picture(name: str, tmp_path: Path) -> None:
    example(name, "fused.png", folder=tmp_path)
    luma = cv2.imread(str(tmp_path / "fused.png"), cv2.IMREAD_GRAYSCALE)
    assert luma.mean(axis=0)[-40:].min() > luma.mean(axis=0)[:40].max() + 60  # both scenes brighten to the right


def test_plot_histogram(tmp_path: Path) -> None:
    example("plot_histogram.py", "plot.png", CAMERA, folder=tmp_path)
    assert len(np.unique(cv2.imread(str(tmp_path / "plot.png")).reshape(-1, 3), axis=0)) > 3


def test_own_pipeline(tmp_path: Path) -> None:
    done = example("own_pipeline.py", CAMERA, f"ipc://{tmp_path}/link", 3, folder=tmp_path)
    assert done.stdout.startswith("3 brackets")


def test_the_readmes_program(tmp_path: Path) -> None:
    """As printed, but for the size of the camera's picture and the endpoint: two frames reach a subscriber."""
    printed = re.search(r"```python\n(import livemef\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert printed is not None
    assert len(printed[1].splitlines()) <= 12
    endpoint = f"ipc://{tmp_path}/readme"
    program = printed[1].replace("sim://", CAMERA).replace("tcp://127.0.0.1:5556", endpoint)
    assert (CAMERA in program, endpoint in program) == (True, True)
    (tmp_path / "program.py").write_text(program)
    with (
        subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path) as child,
        livemef.subscribe(endpoint, timeout_s=60) as messages,
    ):
        try:
            numbers = [next(messages).header.seq for _ in range(2)]
        finally:
            child.kill()
    assert numbers[1] > numbers[0]


def test_the_guides_programs(tmp_path: Path) -> None:
    """The page's programs, one after the other, but for the size of the camera's picture and the endpoint."""
    write_scene(tmp_path)
    printed = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    program = "".join(printed).replace('"sim://"', f'"{CAMERA}"').replace("tcp://127.0.0.1:5556", f"ipc://{tmp_path}/s")
    (tmp_path / "program.py").write_text(program)
    lines = finished([sys.executable, "program.py"], tmp_path).stdout.splitlines()
    assert len(printed) == 5
    assert len(lines) == 1 + 1 + 3 + 1
    assert "(240, 320, 3)" in lines[-1]


def test_record_and_replay(tmp_path: Path) -> None:
    example("record_and_replay.py", ".", CAMERA, 3, folder=tmp_path)
    assert len(list((tmp_path / "fused").glob("*.png"))) == 3


def test_batch_of_a_folder(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_scene(tmp_path / "scenes" / f"scene{seed}", seed=seed)
    (tmp_path / "scenes" / "empty").mkdir()
    command = [sys.executable, str(EXAMPLES / "batch_of_a_folder.py"), "scenes", "fused"]
    assert "empty: " in finished(command, tmp_path, expected=2).stderr
    assert sorted(path.name for path in (tmp_path / "fused").iterdir()) == ["scene1.png", "scene2.png"]


def test_subscribe_in_python(stream: str, tmp_path: Path) -> None:
    lines = example("subscribe.py", stream, 3, folder=tmp_path).stdout.splitlines()
    assert len(lines) == 4
    assert "(30, 50, 3)" in lines[0]


def test_subscribe_in_c(stream: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None or not Path("/usr/include/zmq.h").exists():
        pytest.skip("needs a C compiler and libzmq3-dev")
    finished(["cc", "-Wall", "-Werror", str(EXAMPLES / "subscribe.c"), "-lzmq", "-o", "subscribe"], tmp_path)
    finished(["./subscribe", stream, "out.ppm"], tmp_path)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out.ppm")), PICTURE)
    refused = finished(["./subscribe", "nonsense", "out.ppm"], tmp_path, expected=2)
    assert refused.stderr.startswith("usage")


def test_subscribe_in_c_with_keys(tmp_path: Path) -> None:
    """Over an address that others reach: allowed, it receives; forbidden, or with another's key, it does not."""
    if shutil.which("cc") is None or not Path("/usr/include/zmq.h").exists():
        pytest.skip("needs a C compiler and libzmq3-dev")
    camera, laptop = KeyFolder(tmp_path / "camera"), KeyFolder(tmp_path / "laptop")
    own = camera.create("camera")
    laptop.trust("camera.local", own.public)
    camera.allow(laptop.create("laptop").public)
    finished(["cc", "-Wall", "-Werror", str(EXAMPLES / "subscribe_with_keys.c"), "-lzmq", "-o", "keyed"], tmp_path)
    ended = Event()
    with Publisher("pub+bind:tcp://0.0.0.0:*", keys=camera) as publisher:
        endpoint = f"tcp://127.0.0.1:{publisher.address.rsplit(':', 1)[1]}"

        def publish() -> None:
            while not ended.wait(0.02):
                publisher.publish("fused", header(41), PICTURE)

        thread = Thread(target=publish)
        thread.start()
        try:
            command = ["./keyed", endpoint, str(laptop.folder), "camera.local"]
            assert finished(command, tmp_path).stdout == "frame 41\n"
            assert finished([*command[:3], "other.local"], tmp_path, expected=2).stderr.startswith("usage")
            camera.forbid("laptop")
            with pytest.raises(subprocess.TimeoutExpired):
                subprocess.run(command, cwd=tmp_path, timeout=3, capture_output=True)
        finally:
            ended.set()
            thread.join()


@pytest.mark.full
def test_subscribe_in_node(stream: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    shutil.copy(EXAMPLES / "subscribe.mjs", tmp_path)
    finished(["npm", "install", "--silent", "--no-audit", "--no-fund", "zeromq@6"], tmp_path)
    finished(["node", "subscribe.mjs", stream, "out.ppm"], tmp_path)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out.ppm")), PICTURE)


@pytest.mark.parametrize("name", ["ros2_node.py", "ros2_parameters.py"])
def test_the_ros_node_compiles(name: str) -> None:
    """No more: ROS is no package of PyPI or Debian, so the node is not run. Its parameters: test_live_cameras.py."""
    compile((EXAMPLES / name).read_text(encoding="utf-8"), name, "exec")


def test_examples_are_short_and_all_tested() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix in {".py", ".c", ".mjs"}:
            assert 10 <= len(path.read_text(encoding="utf-8").splitlines()) <= 40, path
            assert path.name in tests


@pytest.mark.parametrize(
    "name",
    ["fuse_two_files.py", "fuse_arrays.py", "batch_of_a_folder.py", "plot_histogram.py", "record_and_replay.py"],
)
def test_without_arguments_an_example_shows_its_use(name: str, tmp_path: Path) -> None:
    done = finished([sys.executable, str(EXAMPLES / name)], tmp_path, expected=1)
    assert f"python {name}" in done.stderr
    assert "Traceback" not in done.stderr
