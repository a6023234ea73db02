"""Standard output and error of a pipeline that must not stand still because nobody reads them.

Text is handed to a thread that writes it. What does not fit in its queue is lost, oldest first; a full disk, a closed
pipe or a stopped terminal loses text and nothing else.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque

MOST_WAITING = 256
LONGEST_LINE = 1 << 16
FLUSH_LIMIT_S = 0.5
_RETRY_MS = 200


class OutputQueue(io.TextIOBase):
    """A text stream on a file descriptor, for print() and rich. `write` and `flush` never wait and never fail.

    fd: None = nowhere. lost: lines that were not written.
    """

    def __init__(self, fd: int | None, most_waiting: int = MOST_WAITING) -> None:
        self._fd = fd
        self._terminal = fd is not None and os.isatty(fd)
        self._line = b""
        self._waiting: deque[bytes] = deque()
        self._most = most_waiting
        self._changed = threading.Condition()
        self._writing = False
        self._ending = False
        self.lost = 0
        self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8; what it cannot express is escaped."""
        return "utf-8"

    def isatty(self) -> bool:
        """Whether a person sees it."""
        return self._terminal

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Queue `text` at the end of its line, so that lines are lost whole."""
        with self._changed:
            self._line += text.encode("utf-8", "backslashreplace")
            if self._line.endswith(b"\n") or len(self._line) > LONGEST_LINE:
                self._queue_line()
        return len(text)

    def flush(self) -> None:
        """Queue what has been written of the present line."""
        with self._changed:
            self._queue_line()

    def _queue_line(self) -> None:
        if not self._line:
            return
        if self._fd is not None:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(self._line)
            self._changed.notify_all()
        self._line = b""

    def finish(self, limit_s: float = FLUSH_LIMIT_S) -> None:
        """Wait until all is written, for `limit_s` at most; what is left then is lost."""
        with self._changed:
            self._queue_line()
            self._changed.wait_for(lambda: not self._waiting and not self._writing, limit_s)
            self._ending = True
            self._changed.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if self._ending:
                    return
                data = self._waiting.popleft()
                self._writing = True
            if not self._write(data):
                self.lost += 1

    def _write(self, data: bytes) -> bool:
        assert self._fd is not None
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody has set the descriptor to non-blocking mode
                select.select([], [self._fd], [], _RETRY_MS / 1000)
                if self._ending:
                    return False
            except OSError:
                return False
        return True
