import logging
import subprocess
import sys
import time

from livemef.tools.logs import log_level, set_up_logging
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.run.spawning import ChildSpec
from livemef.tools.run.supervisor import Supervisor
from tests.tools.command import assert_one_line, livemef
from tests.tools.run import child_bodies


def test_a_program_that_imports_livemef_and_sets_nothing_up_sees_no_record():
    script = "import livemef, logging; logging.getLogger('livemef.fusion').error('loud')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_records_from_the_level_up_are_one_line_each_on_the_standard_error(capsys):
    set_up_logging("info")
    set_up_logging("warning", "fusion: ")
    logging.getLogger("livemef.fusion.open_fuser").info("too quiet")
    logging.getLogger("livemef.fusion.open_fuser").warning("fusing on the %s", "CPU")
    assert log_level() == "warning"
    assert capsys.readouterr().err == "livemef: fusion: fusing on the CPU\n"


def test_a_child_process_prints_its_records_with_its_name(capfd):
    set_up_logging("info")
    supervisor = Supervisor([ChildSpec("a", child_bodies.logging_one_line, tuple)], RestartPolicy())
    supervisor.start()
    try:
        deadline = time.monotonic() + 20
        while supervisor.children["a"].process is not None and time.monotonic() < deadline:
            supervisor.step(0.05)
    finally:
        supervisor.stop()
    assert "livemef: a: halfway" in capfd.readouterr().err.splitlines()


def test_the_level_is_an_option_that_may_stand_anywhere():
    for arguments in (("--log-level", "error", "doctor", "--help"), ("doctor", "--help", "--log-level=error")):
        assert livemef(*arguments).returncode == 0
    assert_one_line(livemef("doctor", "--log-level", "loud"), "--log-level loud", "warning")
    assert_one_line(livemef("doctor", "--log-level"), "--log-level", "warning")
