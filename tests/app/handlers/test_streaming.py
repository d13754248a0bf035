"""Streamed handlers: pieces in order, then the answer; errors and kept answers too."""

import inspect
import threading

import gradio as gr
import pytest

from dinoclip_viz.app.handlers.answers import remembered
from dinoclip_viz.app.handlers.streaming import streamed


def partial(text):
    return f"<{text}>"


def test_text_grows_and_the_answer_comes_last():
    def handler(word, stream):
        for letter in word:
            stream(letter)
        return word.upper()

    assert list(streamed(handler, partial)("abc")) == ["<a>", "<ab>", "<abc>", "ABC"]


def test_pieces_arrive_before_the_handler_has_ended():
    go_on = threading.Event()

    def handler(stream):
        stream("a")
        assert go_on.wait(20)
        return "end"

    run = streamed(handler, partial)()
    assert next(run) == "<a>"  # the handler is still waiting
    go_on.set()
    assert list(run) == ["end"]


def test_errors_of_the_handler_are_raised_after_its_text():
    def handler(stream):
        stream("a")
        raise ValueError("wrong")

    run = streamed(handler, partial)()
    assert next(run) == "<a>"
    with pytest.raises(ValueError, match="wrong"):
        next(run)


def test_a_kept_answer_is_given_at_once(bench):
    calls = []

    def handler(word, stream=None):
        calls.append(word)
        stream("a")
        return word

    run = streamed(remembered(bench, "test-streaming", handler, [gr.Textbox()]), partial)
    assert list(run("x")) == ["<a>", "x"]
    assert list(run("x")) == ["x"] and calls == ["x"]


def test_gradio_sees_a_generator_without_the_parameter_of_the_stream():
    def handler(word, other="b", stream=None):
        return word

    run = streamed(handler, partial)
    assert inspect.isgeneratorfunction(run) and list(inspect.signature(run).parameters) == ["word", "other"]


def test_a_visitor_who_leaves_does_not_stop_the_handler():
    done = threading.Event()

    def handler(stream):
        stream("a")
        stream("b")
        done.set()

    run = streamed(handler, partial)()
    next(run)
    run.close()
    assert done.wait(20)
