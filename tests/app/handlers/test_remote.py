"""Models run through a host's function: in a forked process that shares nothing but what crosses by pickle."""

import multiprocessing
import threading

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from dinoclip_viz.app import build_demo, launch
from dinoclip_viz.app.handlers.answers import remembered, served
from dinoclip_viz.app.pca.tab import answer as pca_answer
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import answer as zero_shot_answer


def in_another_process(call, *given):
    """As ZeroGPU: arguments and answer cross as bytes, the call runs in a fork, and errors of Gradio cross."""
    here, there = multiprocessing.Pipe()

    def work():
        task, arguments = there.recv()
        try:
            there.send((task(*arguments), None))
        except gr.Error as error:
            there.send((None, error.message))

    thread = threading.Thread(target=work)  # a fork runs its task in a thread of its own

    def begin():
        thread.start()
        thread.join()

    process = multiprocessing.get_context("fork").Process(target=begin)
    process.start()
    here.send((call, given))
    try:
        assert here.poll(120), "the other process never answered"
        answer, problem = here.recv()
    finally:
        process.join(10)
    if problem is not None:
        raise gr.Error(problem)
    return answer


@pytest.fixture(scope="module")
def bench():
    return Workbench(runner=in_another_process)


@pytest.fixture
def path(bench, tmp_path):
    file = tmp_path / "scene.png"
    bench.scenes.draw(7).save(file)
    return str(file)


def test_an_answer_is_that_of_this_process(bench, path):
    given = (bench.first_key, path, "cat, dog, car")
    remote = served(bench, lambda *values: zero_shot_answer(bench, *values))(*given)
    here = Workbench()
    here.scenes.draw(7)
    bars, table, note = zero_shot_answer(here, *given)
    assert remote[1] == table and remote[2] == note == ""
    assert Image.open(remote[0]).tobytes() == bars.tobytes()


def test_errors_arrive_as_one_line(bench, path):
    run = served(bench, lambda *values: zero_shot_answer(bench, *values))
    with pytest.raises(gr.Error, match="one label"):
        run(bench.first_key, path, "cat")


def test_bases_that_a_handler_leaves_for_later_requests_are_brought_back(bench, path):
    key = served(bench, lambda *values: pca_answer(bench, *values)[4])(bench.first_key, [(path, None)])
    assert bench.bases.get(key) is not None


def test_a_handler_that_takes_the_lock_again_does_not_wait_for_itself(bench):
    def locked(number):
        with bench.running:
            return number + 1

    assert served(bench, locked)(1) == 2
    assert served(bench, locked)(2) == 3


def test_progress_does_not_cross_and_text_is_not_streamed(bench):
    def handler(number, progress=None, stream=None):
        progress(0.5, desc="half")
        return [number, type(progress).__name__, stream]

    component = gr.Number(1, render=False)
    run = remembered(bench, "test", handler, [component])
    assert run(1, gr.Progress(), stream=threading.Lock()) == [1, "Progress", None]


def test_the_api_runs_models_through_the_function_too(path):
    calls = []

    def runner(call, *given):
        calls.append(call)
        return call(*given)

    demo = build_demo(runner=runner)
    assert not calls  # nothing runs while the page is built: ZeroGPU lends no GPU then
    try:
        client = Client(launch(demo, wait=False, quiet=True), verbose=False)
        found = client.predict(image=handle_file(path), labels=["cat", "dog", "car"], api_name="/classify")
    finally:
        demo.close()
    assert len(calls) == 1 and "cat" in str(found)
