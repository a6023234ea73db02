"""The page over https: from other machines too it may then control."""

import asyncio
import contextlib
import http.client
import shutil
import ssl
import subprocess
import threading

import pytest

import livemef
from livemef.fusion.errors import FusionError
from livemef.tools.preview.access import tls_context
from livemef.tools.preview.page_job import PageJob
from livemef.tools.preview.server import Preview, serve
from tests.tools.preview.preview_rig import preview_process

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run(
        [*command, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    return str(certificate), str(key)


@contextlib.contextmanager
def serving(job):
    over, ready, found = threading.Event(), threading.Event(), []

    def note(url):
        found.append(url)
        ready.set()

    preview = Preview(job)
    thread = threading.Thread(target=lambda: asyncio.run(serve(preview, over.is_set, lambda: None, note)))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        over.set()
        thread.join(10)


def test_who_trusts_the_certificate_gets_in(files, tmp_path, monkeypatch):
    job = PageJob(f"sub+connect:ipc://{tmp_path}/s", "0.0.0.0", 0, "view", "control", None, False, *files)
    with serving(job) as url:
        assert url.startswith("https://0.0.0.0:")
        port = int(url.rstrip("/").rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=files[0])
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=30)
        connection.request("GET", "/?token=control")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (303, "./")
        cookie = answer.headers["Set-Cookie"]
        assert cookie == f"livemef-{port}=control; HttpOnly; SameSite=Strict; Secure"
        answer.read()
        sent = {"Cookie": cookie.split(";")[0], "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/exposures/auto", headers=sent)
        assert connection.getresponse().status == 409  # let in; but there is no pipeline here

        address = f"https://127.0.0.1:{port}"
        with livemef.control(address, token="control") as stranger, pytest.raises(livemef.ControlError, match="CERT"):
            _ = stranger.status
        monkeypatch.setenv("SSL_CERT_FILE", files[0])
        with livemef.control(address, token="control") as camera:
            assert camera.status["encrypted"]
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        plain.request("GET", "/")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()


def test_the_page_alone_is_served_over_https_too(files):
    arguments = ("sub+connect:tcp://127.0.0.1:1", "--port", "0", "--certificate", files[0], "--key", files[1])
    with preview_process(*arguments, token="view") as process:
        said = process.stdout.readline()
        assert said.startswith("preview at https://127.0.0.1:"), said + process.stderr.read()
        port = int(said.strip().rstrip("/").rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=files[0])
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=30)
        connection.request("GET", "/", headers={"Authorization": "Bearer view"})
        assert connection.getresponse().status == 200
    with preview_process("--port", "0", "--certificate", files[0]) as process:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said.count("\n")) == (2, 1)
        assert "preview.certificate and preview.key" in said


def test_files_of_no_use_are_named(files, tmp_path):
    with pytest.raises(FusionError, match="both"):
        tls_context(files[0], "")
    with pytest.raises(FusionError, match="gone"):
        tls_context(files[0], str(tmp_path / "gone"))
    with pytest.raises(FusionError, match="cannot be used"):
        tls_context(files[0], files[0])
