"""Handlers: computed once for equal requests, one model run at a time, errors in one line and without folders."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from dinoclip_viz.app.cache import Cache, size_of
from dinoclip_viz.app.events import without_folders
from dinoclip_viz.app.handlers.answers import remembered, served
from dinoclip_viz.app.handlers.files import ServedFiles


@pytest.fixture
def board():
    """The parts of a workbench that handlers use."""
    return SimpleNamespace(
        runner=None,
        files=ServedFiles(),
        answers=Cache(2**20, size_of),
        running=threading.RLock(),
        tidy=lambda value: value,
    )


@pytest.fixture
def upload(tmp_path):
    def make(name, colour):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
        return str(tmp_path / name)

    return make


def at_once(count, call):
    """The results of a function that threads call at the same time."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            results[number] = call()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_sixteen_equal_requests_at_once_compute_once(board, upload):
    calls = []

    def answer(path, prompt):
        calls.append(prompt)
        time.sleep(0.2)
        return Image.open(path), prompt

    ask = remembered(board, "test", answer, [gr.Image(), gr.Textbox()])
    path = upload("a.png", "red")
    results = at_once(16, lambda: ask(path, "a cat"))
    assert len(calls) == 1 and all(result == results[0] for result in results)
    assert Image.open(results[0][0]).getpixel((0, 0)) == (255, 0, 0)
    assert ask(upload("same.png", "red"), "a cat") == results[0] and len(calls) == 1
    ask(upload("b.png", "blue"), "a cat")
    ask(path, "a dog")
    assert len(calls) == 3


def test_an_error_reaches_all_who_wait_and_is_not_kept(board):
    calls = []

    def answer(text):
        calls.append(text)
        time.sleep(0.2)
        raise ValueError("no prompt")

    ask = remembered(board, "test", answer, [gr.Textbox()])
    results = at_once(4, lambda: ask(""))
    assert [str(result.message) for result in results] == ["no prompt"] * 4 and len(calls) == 1
    with pytest.raises(gr.Error):
        ask("")
    assert len(calls) == 2


def test_an_answer_whose_file_was_deleted_or_that_is_no_longer_valid_is_computed_again(board):
    calls, valid = [], [True]

    def answer(text):
        calls.append(text)
        return Image.new("RGB", (4, 4), "red")

    ask = remembered(board, "test", answer, [gr.Textbox()], valid=lambda kept: valid[0])
    Path(ask("a")).unlink()
    assert Path(ask("a")).exists() and len(calls) == 2
    valid[0] = False
    ask("a")
    assert len(calls) == 3


def test_what_an_answer_does_not_depend_on_makes_no_difference(board):
    calls = []
    ask = remembered(
        board,
        "test",
        lambda text, keep, basis: calls.append(basis),
        [gr.Textbox(), gr.Checkbox(), gr.State()],
        relevant=lambda text, keep, basis: (text, keep, basis if keep else None),
    )
    for keep, basis in ((False, "a"), (False, "b"), (True, "a"), (True, "b")):
        ask("text", keep, basis)
    assert calls == ["a", "a", "b"]


def test_gradio_may_change_an_update_without_changing_the_kept_answer(board):
    ask = remembered(board, "test", lambda text: [gr.update(value=None, visible=False)], [gr.Textbox()])
    ask("a")[0].clear()
    assert ask("a")[0]["visible"] is False


def test_captions_of_a_gallery_are_never_read_as_files(board, upload):
    seen = []

    def answer(items):
        seen.append(items)

    ask = remembered(board, "test", answer, [gr.Gallery()])
    path = upload("a.png", "red")
    for caption in ("/dev/zero", None, "a\0b"):
        ask([(path, caption)])
    assert len(seen) == 3


def test_one_handler_runs_a_model_at_a_time(board):
    running, most = [], []

    def answer():
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    at_once(6, served(board, answer))
    assert max(most) == 1 and len(most) == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/app/models/clip has no config", "clip has no config"),
        ("cannot read '/tmp/gradio/1a/up load.png'; expected", "cannot read 'up load.png'; expected"),
        ("~/models/clip and C:\\Users\\me\\clip", "clip and clip"),
        ("openai/clip-vit, https://huggingface.co/openai/clip and 1/2", None),
        ("<div>a</div>", None),
    ],
)
def test_texts_for_the_page_name_no_folders(text, shown):
    assert without_folders(text) == (text if shown is None else shown)
