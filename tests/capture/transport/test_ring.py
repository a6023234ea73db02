"""The ring: its bookkeeping by properties, its memory across real processes that are really killed."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.errors import CaptureError
from livemef.capture.transport.ring import Ring, SlotPool

SPAWN = multiprocessing.get_context("spawn")
SHAPE = (45, 80, 3)
SLOT_BYTES = 45 * 80 * 3
WAIT_S = 20.0


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, np.uint8)


# The pool ---------------------------------------------------------------------------------------------------


@given(slots=st.integers(1, 6), lent_max=st.integers(1, 6), actions=st.lists(st.integers(0, 3), max_size=80))
def test_pool_loses_no_slot_and_counts_every_drop(slots: int, lent_max: int, actions: list[int]) -> None:
    pool: SlotPool[int] = SlotPool(slots, lent_max)
    frames, filled, handed = 0, [], []
    writing: list[int] = []
    lent: list[int] = []
    for action in actions:
        if action == 0:
            frames += 1
            slot = pool.acquire()
            if slot is not None:
                assert slot not in writing + lent
                writing.append(slot)
        elif action == 1 and writing:
            filled.append(frames)
            pool.fill(writing.pop(0), frames)
        elif action == 2:
            for slot, note in pool.hand_over():
                lent.append(slot)
                handed.append(note)
        elif action == 3 and lent:
            pool.release(lent.pop(len(lent) // 2))
        assert len(lent) == pool.lent <= lent_max
    pool.release_all()
    while rest := pool.hand_over():
        handed += [note for _, note in rest]
        pool.release_all()
    assert len(handed) == len(filled) - pool.taken_back
    assert frames == len(handed) + pool.taken_back + pool.refused + len(writing)
    assert handed == sorted(handed)
    assert sum(pool.acquire() is not None for _ in range(slots)) == slots - len(writing)


def test_newest_wins_when_the_consumer_is_slow() -> None:
    pool: SlotPool[int] = SlotPool(6, lent_max=3)
    for frame in range(100):
        slot = pool.acquire()
        assert slot is not None, "the producer always finds a slot"
        pool.fill(slot, frame)
        pool.hand_over()
    pool.release_all()
    assert [note for _, note in pool.hand_over()] == [97, 98, 99]
    assert (pool.taken_back, pool.refused) == (94, 0)


def test_slots_come_back_out_of_order() -> None:
    pool: SlotPool[None] = SlotPool(4, lent_max=2)
    for _ in range(2):
        slot = pool.acquire()
        assert slot is not None
        pool.fill(slot, None)
    (first, _), (second, _) = pool.hand_over()
    pool.release(second)
    assert pool.lent == 1
    with pytest.raises(ValueError, match="not at the consumer"):
        pool.release(second)
    pool.release(first)
    assert pool.lent == 0


def test_pool_refuses_when_all_is_lent() -> None:
    pool: SlotPool[None] = SlotPool(2, lent_max=2)
    for _ in range(2):
        slot = pool.acquire()
        assert slot is not None
        pool.fill(slot, None)
    assert len(pool.hand_over()) == 2
    assert pool.acquire() is None
    assert pool.refused == 1


# The memory, in one process -----------------------------------------------------------------------------------


def attached(ring: Ring) -> Ring:
    return Ring.attach(os.dup(ring.fileno()), ring.slots, ring.slot_bytes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_sides_see_one_memory(dtype: type) -> None:
    ring = Ring.create(3, 2 * SLOT_BYTES)
    other = attached(ring)
    wanted = [picture(slot).astype(dtype) for slot in range(3)]
    for slot in range(3):
        ring.view(slot, SHAPE, dtype)[:] = wanted[slot]
    for slot in range(3):
        seen = other.view(slot, SHAPE, dtype)
        np.testing.assert_array_equal(seen, wanted[slot])
        assert seen.ctypes.data % 4096 == 0
    with pytest.raises(ValueError, match="read-only"):
        other.view(0, SHAPE, dtype)[0] = 1
    ring.close()
    other.close()


def test_view_outlives_close() -> None:
    ring = Ring.create(2, SLOT_BYTES)
    view = ring.view(1, SHAPE, np.uint8)
    view[:] = picture(1)
    inode = os.fstat(ring.fileno()).st_ino
    ring.close()
    ring.close()
    np.testing.assert_array_equal(view, picture(1))
    assert users_of(inode) == [f"/proc/{os.getpid()} maps it"]
    with pytest.raises(ValueError, match="closed"):
        ring.view(0, SHAPE, np.uint8)
    del view
    assert users_of(inode) == []


@pytest.mark.parametrize(("slot", "shape"), [(-1, SHAPE), (2, SHAPE), (0, (90, 80, 3)), (1, (4097, 3))])
def test_view_outside_the_ring_is_refused(slot: int, shape: tuple[int, ...]) -> None:
    ring = Ring.create(2, SLOT_BYTES)
    with pytest.raises(ValueError, match="outside"):
        ring.view(slot, shape, np.uint8)
    ring.close()


def test_attaching_something_else_is_refused(tmp_path: Path) -> None:
    ring = Ring.create(2, SLOT_BYTES)
    with pytest.raises(CaptureError, match="not 3 slots"):
        Ring.attach(ring.fileno(), 3, SLOT_BYTES)
    closed = os.dup(ring.fileno())
    os.close(closed)
    with pytest.raises(CaptureError, match="cannot be mapped"):
        Ring.attach(closed, 2, SLOT_BYTES)
    ring.close()


def test_peer_cannot_shrink_the_memory() -> None:
    ring = Ring.create(2, SLOT_BYTES)
    with pytest.raises(PermissionError):
        os.ftruncate(ring.fileno(), 0)
    ring.close()


def test_no_memfd_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, flags: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    with pytest.raises(CaptureError, match="Operation not permitted"):
        Ring.create(1, 1)
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(CaptureError, match="no memfd_create"):
        Ring.create(1, 1)


def test_memory_that_cannot_be_had_is_said_plainly() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "from livemef.capture.errors import CaptureError\nfrom livemef.capture.transport.ring import Ring\n"
        "import os\nbefore = len(os.listdir('/proc/self/fd'))\n"
        "try:\n    Ring.create(2, 1 << 20)\nexcept CaptureError as error:\n"
        "    print(error, len(os.listdir('/proc/self/fd')) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("no memory for 2 frames of 1048576 bytes")
    assert done.stdout.endswith("fewer slots or a smaller picture 0\n"), "no descriptor is left open"


# The memory, across processes ---------------------------------------------------------------------------------


def send_fd(peer: socket.socket, fd: int) -> None:
    socket.send_fds(peer, [b"\0"], [fd])


def recv_fd(peer: socket.socket) -> int:
    peer.settimeout(WAIT_S)
    _, (fd,), _, _ = socket.recv_fds(peer, 1, 1)
    return fd


def echo_consumer(peer: socket.socket, messages: Connection) -> None:
    """Answers each slot number with the bytes seen there, -2 with those of the last view; returns on -1."""
    ring = Ring.attach(recv_fd(peer), 3, SLOT_BYTES)
    messages.send("attached")
    view = None
    while (slot := messages.recv()) != -1:
        if slot >= 0:
            view = ring.view(slot, SHAPE, np.uint8)
        assert view is not None
        messages.send(view.tobytes())
    view = None
    ring.close()


def holding_producer(peer: socket.socket, messages: Connection) -> None:
    """Makes a ring, writes one picture, passes it on, and waits to be killed."""
    ring = Ring.create(3, SLOT_BYTES)
    ring.view(2, SHAPE, np.uint8)[:] = picture(7)
    send_fd(peer, ring.fileno())
    messages.send("sent")
    messages.recv()


class Child:
    """A spawned process with a Unix socket and a pipe to it."""

    def __init__(self, body: object) -> None:
        self.peer, theirs = socket.socketpair()
        self.messages, their_messages = SPAWN.Pipe()
        self.process = SPAWN.Process(target=body, args=(theirs, their_messages), daemon=True)
        self.process.start()
        theirs.close()
        their_messages.close()

    def receive(self) -> object:
        assert self.messages.poll(WAIT_S), "the child is silent"
        return self.messages.recv()

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(WAIT_S)
        assert self.process.exitcode == -signal.SIGKILL

    def close(self) -> None:
        self.peer.close()
        self.messages.close()


def users_of(inode: int) -> list[str]:
    """Processes that map or hold the memory, by its inode."""
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            maps = [
                line.split() for line in (process / "maps").read_text().splitlines() if "memfd:livemef-ring" in line
            ]
            if any(fields[4] == str(inode) for fields in maps):
                users.append(f"{process} maps it")
            for fd in (process / "fd").iterdir():
                if "memfd:livemef-ring" in str(fd.readlink()) and fd.stat().st_ino == inode:
                    users.append(f"{fd} holds it")
        except OSError:
            continue  # it ended meanwhile, or it is not ours
    return users


def test_consumer_reads_in_place_what_the_producer_wrote() -> None:
    ring, child = Ring.create(3, SLOT_BYTES), Child(echo_consumer)
    send_fd(child.peer, ring.fileno())
    assert child.receive() == "attached"
    for slot in (0, 2, 1):
        ring.view(slot, SHAPE, np.uint8)[:] = picture(slot)
        child.messages.send(slot)
        assert child.receive() == picture(slot).tobytes()
    # The view that the consumer already has shows what is written now: nothing was copied.
    ring.view(1, SHAPE, np.uint8)[:] = picture(9)
    child.messages.send(-2)
    assert child.receive() == picture(9).tobytes()
    child.messages.send(-1)
    child.process.join(WAIT_S)
    assert child.process.exitcode == 0
    child.close()
    ring.close()


def test_producer_outlives_a_killed_consumer() -> None:
    ring, first = Ring.create(3, SLOT_BYTES), Child(echo_consumer)
    inode = os.fstat(ring.fileno()).st_ino
    send_fd(first.peer, ring.fileno())
    assert first.receive() == "attached"
    assert any(str(first.process.pid) in user for user in users_of(inode))
    first.kill()
    first.close()
    second = Child(echo_consumer)
    send_fd(second.peer, ring.fileno())
    assert second.receive() == "attached"
    ring.view(0, SHAPE, np.uint8)[:] = picture(3)
    second.messages.send(0)
    assert second.receive() == picture(3).tobytes()
    ring.close()
    assert users_of(inode), "the second consumer still has it"
    second.kill()
    second.close()
    assert users_of(inode) == []
    assert [name for name in os.listdir("/dev/shm") if "livemef" in name] == []


def test_consumer_outlives_a_killed_producer() -> None:
    child = Child(holding_producer)
    fd = recv_fd(child.peer)
    inode = os.fstat(fd).st_ino
    ring = Ring.attach(fd, 3, SLOT_BYTES)
    assert child.receive() == "sent"
    child.kill()
    child.close()
    np.testing.assert_array_equal(ring.view(2, SHAPE, np.uint8), picture(7))
    ring.close()
    assert users_of(inode) == []


def test_a_hundred_rings_leave_nothing_open() -> None:
    before, inodes = len(os.listdir("/proc/self/fd")), set()
    for _ in range(100):
        ring = Ring.create(2, SLOT_BYTES)
        inodes.add(os.fstat(ring.fileno()).st_ino)
        attached(ring).close()
        ring.close()
    assert len(os.listdir("/proc/self/fd")) == before
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:livemef-ring" in line]
    assert inodes.isdisjoint(int(fields[4]) for fields in mapped)


def test_memory_that_could_be_cut_short_is_refused() -> None:
    """Its maker could truncate it while it is read, which is SIGBUS."""
    size = 2 * 4096
    for seals in (0, fcntl.F_SEAL_GROW):
        fd = os.memfd_create("forged", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with pytest.raises(CaptureError, match="not sealed"):
            Ring.attach(fd, 2, 4096)
        os.close(fd)
