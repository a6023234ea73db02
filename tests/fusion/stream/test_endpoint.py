import os
import socket
import stat

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.endpoint import Attachment, Endpoint, parse_endpoint
from tests.fusion.stream.stream_samples import outcome


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.mark.parametrize(
    ("text", "role", "expected"),
    [
        ("pub+bind:ipc:///run/x", "pub", Endpoint("pub", True, "ipc:///run/x")),
        ("pub+connect:tcp://10.0.0.1:5556", "pub", Endpoint("pub", False, "tcp://10.0.0.1:5556")),
        ("pub:tcp://127.0.0.1:5556", "pub", Endpoint("pub", True, "tcp://127.0.0.1:5556")),
        ("sub:tcp://host.example:1", "sub", Endpoint("sub", False, "tcp://host.example:1")),
        ("sub+bind:tcp://*:5556", "sub", Endpoint("sub", True, "tcp://*:5556")),
        ("+connect:ipc://@name", "pub", Endpoint("pub", False, "ipc://@name")),
        ("ipc://relative/path", "sub", Endpoint("sub", False, "ipc://relative/path")),
        ("tcp://[::1]:5556", "pub", Endpoint("pub", True, "tcp://[::1]:5556")),
    ],
)
def test_grammar(text, role, expected):
    assert parse_endpoint(text, role) == expected
    assert parse_endpoint(str(expected), role) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected sub"),
        ("127.0.0.1:5556", "expected sub"),
        ("sub+attach:tcp://127.0.0.1:1", "expected sub"),
        ("req+bind:tcp://127.0.0.1:1", "expected sub"),
        ("pub+bind:tcp://127.0.0.1:1", "a pub endpoint stands where a sub endpoint is needed"),
        ("sub+connect:udp://127.0.0.1:1", "'udp' is not known"),
        ("sub+connect:tcp://127.0.0.1", "HOST:PORT"),
        ("sub+connect:tcp://127.0.0.1:66000", "above 65535"),
        ("sub+connect:tcp://*:5556", "only be bound"),
        ("sub+connect:tcp://127.0.0.1:0", "only be bound"),
        ("sub+connect:ipc://", "needs a path"),
        ("sub+connect:ipc:///" + "x" * 107, "longer than the 107 bytes"),
    ],
)
def test_mistakes_are_one_line_that_names_the_endpoint(text, says):
    with pytest.raises(FusionError) as caught:
        parse_endpoint(text, "sub")
    assert says in str(caught.value)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text() | st.from_regex(r"(pub|sub)?(\+(bind|connect))?:?(tcp|ipc)?(://)?.{0,20}"))
def test_parsing_is_total(text):
    endpoint = outcome(lambda: parse_endpoint(text, "pub"))
    if isinstance(endpoint, FusionError):
        assert "\n" not in str(endpoint)
    else:
        assert parse_endpoint(str(endpoint), "pub") == endpoint


sockets = []  # a socket that nobody refers to is closed


@pytest.fixture(autouse=True)
def _forget_sockets():
    yield
    sockets.clear()


def attach(context, text):
    sockets.append(context.socket(zmq.XPUB))
    return Attachment(sockets[-1], parse_endpoint(text, "pub"))


def test_bound_ipc_path_goes_away_at_close(context, tmp_path):
    attachment = attach(context, f"ipc://{tmp_path}/s")
    assert stat.S_ISSOCK(os.stat(tmp_path / "s").st_mode)
    attachment.close()
    attachment.close()
    assert list(tmp_path.iterdir()) == []


def test_stale_ipc_path_is_taken_over(context, tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
        dead.listen()
    attach(context, f"ipc://{tmp_path}/s").close()


def test_live_ipc_binder_is_not_pushed_aside(context, tmp_path):
    first = attach(context, f"ipc://{tmp_path}/s")
    inode = os.stat(tmp_path / "s").st_ino
    with pytest.raises(FusionError, match="in use by another program"):
        attach(context, f"ipc://{tmp_path}/s")
    assert os.stat(tmp_path / "s").st_ino == inode
    first.close()


def test_close_leaves_a_successors_socket_alone(context, tmp_path):
    first = attach(context, f"ipc://{tmp_path}/s")
    os.rename(tmp_path / "s", tmp_path / "old")
    second = attach(context, f"ipc://{tmp_path}/s")
    first.close()
    assert (tmp_path / "s").exists()
    second.close()


def test_ordinary_file_is_not_overwritten(context, tmp_path):
    (tmp_path / "s").write_text("precious")
    with pytest.raises(FusionError, match="no socket"):
        attach(context, f"ipc://{tmp_path}/s")
    assert (tmp_path / "s").read_text() == "precious"


def test_missing_folder_and_foreign_address(context, tmp_path):
    with pytest.raises(FusionError, match="folder does not exist"):
        attach(context, f"ipc://{tmp_path}/none/s")
    with pytest.raises(FusionError, match="no such address"):
        attach(context, "tcp://192.0.2.1:5556")


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_occupied_port(context, host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f"pub+bind:tcp://{host}:{taken.getsockname()[1]}"
        with pytest.raises(FusionError) as caught:
            attach(context, text)
    assert text in str(caught.value)
    assert "in use" in str(caught.value)


def test_found_port_is_told(context):
    assert attach(context, "tcp://127.0.0.1:0").address.rpartition(":")[2] not in ("0", "")
