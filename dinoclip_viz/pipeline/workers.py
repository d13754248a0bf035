"""Processes that prepare images. They load neither a model library nor the program that started them.

`multiprocessing` would run the program's main module in each of them: scripts would need a guard, and every process
would import what the script imports. These run this module, and talk over a private socket that only they can open.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.reduction import ForkingPickler
from threading import Lock, Thread
from typing import Any

_KEY = "DINOCLIP_VIZ_WORKER_KEY"
_TRIES = 2  # processes that may end while they work on the same samples
_START = 60  # seconds

Work = Callable[[Sequence[Any]], Any]


class _Told(Exception):  # noqa: N818
    """Samples cannot be sent: they name something of the program's main module, or a function without a name."""


class _Worker:
    """A process, started when it is first used."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def call(self, work: Work, samples: Sequence[Any]) -> Any:
        """The result of the work in the process.

        Raises:
            EOFError, OSError: the process ended.
            _Told: the samples cannot be sent, or not be read in the process.
        """
        connection = self._connection = self._connection or self._start()
        try:
            message = ForkingPickler.dumps((work, samples))
        except Exception as error:  # every object has its own way not to be sent
            raise _Told(str(error)) from error
        connection.send_bytes(message)
        kind, value = connection.recv()
        if kind == "unreadable":
            raise _Told(value)
        if kind == "error":
            raise value
        return value

    def _start(self) -> Connection[Any, Any]:
        key = secrets.token_bytes(32)
        with Listener(authkey=key) as listener:
            command = [sys.executable, "-P", "-m", __name__, *_words(listener.address)]
            environment = {
                **os.environ,
                _KEY: key.hex(),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
            return _accepted(listener, self._process)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._process, self._connection = None, None


class Workers(Executor):
    """An executor of one kind of work on N processes; a process that ends is replaced, and its work done again.

    Args:
        count: number of processes.
    """

    def __init__(self, count: int) -> None:
        self._tasks: queue.Queue[tuple[Future[Any], Work, Sequence[Any]] | None] = queue.Queue()
        self._lock, self._ended = Lock(), False
        self._threads = [Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work, /, samples: Sequence[Any]) -> Future[Any]:  # type: ignore[override]
        """The future result of the work on samples."""
        future: Future[Any] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError("the processes have been shut down")
            self._tasks.put((future, work, samples))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes after the tasks that they are at; tasks that wait are done first, or cancelled."""
        with self._lock:
            self._ended = True
            while cancel_futures and not self._tasks.empty():
                task = self._tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
            for _ in self._threads:
                self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _serve(self) -> None:
        worker = _Worker()
        try:
            while (task := self._tasks.get()) is not None:
                future, work, samples = task
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    future.set_result(_done(worker, work, samples))
                except BaseException as error:
                    future.set_exception(error)
        finally:
            worker.close()


def _done(worker: _Worker, work: Work, samples: Sequence[Any]) -> Any:
    """The result of the work: in the process, or in this one where the samples cannot be sent."""
    for _ in range(_TRIES):
        try:
            return worker.call(work, samples)
        except (EOFError, ConnectionError, BrokenPipeError):
            worker.close()
        except _Told:
            return work(samples)
    names = ", ".join(str(getattr(sample, "key", sample)) for sample in samples[:3])
    raise RuntimeError(
        f"{_TRIES} processes ended while they decoded {names}, ...; if memory ran out, use fewer workers, or decode in "
        "threads (workers=0)"
    )


def _accepted(listener: Listener, process: subprocess.Popen[bytes]) -> Connection[Any, Any]:
    """The process's connection; an error if it ends before it connects."""
    accepted: list[Connection[Any, Any]] = []

    def accept() -> None:
        with contextlib.suppress(OSError, AuthenticationError):  # the listener is closed where the process has ended
            accepted.append(listener.accept())

    thread = Thread(target=accept, daemon=True)
    thread.start()
    for _ in range(_START * 10):
        thread.join(0.1)
        if not thread.is_alive() or process.poll() is not None:
            break
    if not accepted:
        process.kill()
        raise ConnectionError("a process that decodes images did not start")
    return accepted[0]


def _words(address: object) -> list[str]:
    """An address of `Listener` as arguments of a command."""
    return [str(part) for part in address] if isinstance(address, tuple) else [str(address)]


def main(words: Sequence[str]) -> None:
    """Do the work that arrives, until the program that sends it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program decides what an interrupt means
    key = bytes.fromhex(os.environ.pop(_KEY))
    address: Any = (words[0], int(words[1])) if len(words) == 2 else words[0]
    with Client(address, authkey=key) as connection:
        while True:
            try:
                message = connection.recv_bytes()
            except (EOFError, OSError):
                return
            try:
                work, samples = ForkingPickler.loads(message)
            except Exception as error:
                connection.send(("unreadable", f"{type(error).__name__}: {error}"))
                continue
            try:
                answer = ("done", work(samples))
            except Exception as error:
                answer = ("error", error)
            try:
                connection.send(answer)
            except OSError:
                return


if __name__ == "__main__":
    main(sys.argv[1:])
