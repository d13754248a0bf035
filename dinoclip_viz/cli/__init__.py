"""The command line `dinoclip`: finds the verb, runs it, prints its answer; every error ends here, in one line.

Standard output carries the answer alone. Progress and logs go to standard error; what libraries print is shown there
with --verbose alone.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from typing import TextIO

from dinoclip_viz.cli.advice import advice
from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.parser import build_parser
from dinoclip_viz.encoders.devices import AUTO, chosen_device

DONE, SOME_FAILED, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130
_NEW_OBJECTS = 20_000  # between two garbage collections of a short verb; Python's own 700 cost a fifth of its start

_SPACE = "expected enough of it: free some space and run the same command again; what was complete is kept"
_DISK = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "expected no limit on the size of files: raise it and run the same command again",
    errno.EROFS: "expected a disk that can be written to: choose another folder or file",
}
"""Errors of the disk, whatever is written -> what was expected and what to do."""

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 some inputs failed and are listed, 2 nothing could be done, 130 interrupted.

    Args:
        argv: the words after `dinoclip`; None takes the process's own.
    """
    answers = sys.stdout
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as end:  # --help, --version, or bad usage, which has printed its line
        _print(answers, "")
        return end.code if isinstance(end.code, int) else NOTHING_DONE
    try:
        with _logs(arguments.verbose), _quiet(arguments.verbose):
            _check_device(arguments)
            answer = _answer(arguments)
            for line in () if vars(arguments).get("progress") else vars(arguments).get("computing", ()):
                print(line, file=sys.stderr)
            _print(answers, answer.json() if arguments.json else answer.text)
            if answer.afterwards is not None:
                answer.afterwards()
    except KeyboardInterrupt:
        print("dinoclip: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        print(f"dinoclip: {_one_line(error)}", file=sys.stderr)
        return NOTHING_DONE
    if line := advice(arguments, sys.argv[1:] if argv is None else argv):
        print(f"dinoclip: {line}", file=sys.stderr)
    for failure in answer.failed:
        print(f"dinoclip: failed: {' '.join(failure.reason.split())}", file=sys.stderr)
    return SOME_FAILED if answer.failed else DONE


def _check_device(arguments: Namespace) -> None:
    """Check that this machine has the given device, before anything is read."""
    if vars(arguments).get("device", AUTO) != AUTO:
        chosen_device(arguments.device)


def _answer(arguments: Namespace) -> Answer:
    """The verb's answer; unless it shows its progress, and so may run for long, garbage is collected less often.

    The imports and the model of a verb are hundreds of thousands of objects that stay: collections find nothing.
    """
    before = gc.get_threshold()
    if not vars(arguments).get("progress"):
        gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        answer: Answer = arguments.run(arguments)
        return answer
    finally:
        gc.set_threshold(*before)


def _print(stream: TextIO, text: str) -> None:
    """The text and a line end, if there is any; a reader that has left, as `head` does, is no error."""
    try:
        if text:
            stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or the interpreter complains as it ends


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{os.strerror(error.errno)}; {_DISK[error.errno]}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        return f"{where}: {error.strerror}; expected a path that can be read or written: check its permissions"
    if isinstance(error, ImportError) and error.name:
        return f"the Python package {error.name!r} cannot be imported ({error}); install it with pip"
    return " ".join(str(error).split()) or f"{type(error).__name__}; run again with --verbose for more"


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Nothing of what libraries print; with --verbose, on standard error."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stderr if verbose else nowhere):
        yield


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning on one line of standard error; of images, with the option that helps."""
    from dinoclip_viz.images import ImageWarning

    option = " (option --levels LOW,HIGH or --levels auto)" if issubclass(category, ImageWarning) else ""
    print(f"dinoclip: warning: {' '.join(str(message).split())}{option}", file=sys.stderr)


@contextlib.contextmanager
def _logs(verbose: bool) -> Iterator[None]:
    """Logs on standard error while a verb runs: the package's warnings and others' errors, or everything."""
    from dinoclip_viz.images import ImageWarning

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root, ours = logging.getLogger(), logging.getLogger("dinoclip_viz")
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbose else logging.ERROR)
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not verbose and not sys.warnoptions:
                warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=ImageWarning)
            warnings.showwarning = _show_warning
            yield
    except Exception as error:
        log.debug("the error's traceback", exc_info=error)
        raise
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
