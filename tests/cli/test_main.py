"""What all verbs share: help, usage errors, exit codes, streams."""

import json
import os
import subprocess
import sys

import pytest

import dinoclip_viz.cli.models as models_verb
from dinoclip_viz.cli.answer import Answer, Failure
from dinoclip_viz.cli.parser import PLAYGROUND_VERBS, VERBS

ALL = [[verb] for verb in VERBS] + [["playground", verb] for verb in PLAYGROUND_VERBS]


def test_help_of_every_verb_answers_without_loading_a_library():
    code = f"""
import contextlib, io, sys
from dinoclip_viz.cli import main
for words in {[[], ["playground"], *ALL]!r}:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main([*words, "--help"]) == 0
    assert "usage: dinoclip" in told.getvalue()
heavy = ["torch", "transformers", "open_clip", "gradio", "matplotlib", "sklearn", "huggingface_hub", "numpy"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("verb", ALL, ids=" ".join)
def test_every_verb_takes_json(dinoclip, verb):
    assert "--json" in dinoclip(*verb, "--help").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "VERB"),
        (["paint"], "'paint'"),
        (["playground"], "VERB"),
        (["classify"], "IMAGE, --labels"),
        (["models", "--pi"], "--pi"),
        (["pca", "a.png", "--out", "a.txt"], ".png"),
        (["pca", "a.png", "--out", "a.png", "--size", "0"], "1 or more"),
        (["pca", "a.png", "--out", "a.png", "--size", "big"], "'big'"),
        (["pca", "a.png", "--out", "a.png", "--basis", "b", "--save-basis", "c"], "not allowed with"),
        (["heatmap", "a.png", "--out", "a.png"], "--prompt"),
        (["playground", "draw", "--out", ""], "folder"),
    ],
)
def test_bad_usage_is_told_in_one_line(dinoclip, words, told):
    dinoclip(*words).refused(told, "--help")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("two\nlines"), "two lines"),
        (PermissionError(13, "Permission denied", "/root/x"), "/root/x: Permission denied"),
        (ModuleNotFoundError("No module named 'gradio'", name="gradio"), "'gradio'"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("CUDA out of memory"), "out of memory"),
    ],
)
def test_what_goes_wrong_inside_is_told_in_one_line(dinoclip, monkeypatch, error, told):
    def run(arguments):
        sys.stdout.write("a library's chatter\n")
        raise error

    monkeypatch.setattr(models_verb, "run", run)
    dinoclip("models", "--json").refused(told)


def test_an_interrupt_ends_with_130(dinoclip, monkeypatch):
    def run(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(models_verb, "run", run)
    done = dinoclip("models")
    assert (done.code, done.out, len(done.err.splitlines())) == (130, "", 1)


def test_failed_inputs_are_listed_on_both_streams_and_end_with_1(dinoclip, monkeypatch):
    answer = Answer({"results": []}, "text", [Failure("a.png", "a.png: found\nnothing")])
    monkeypatch.setattr(models_verb, "run", lambda arguments: answer)
    done = dinoclip("models", "--json")
    assert done.code == 1
    assert done.json["failed"] == [{"image": "a.png", "error": "a.png: found\nnothing"}]
    assert done.err == "dinoclip: failed: a.png: found nothing\n"


def test_what_libraries_print_never_reaches_standard_output(dinoclip, monkeypatch):
    def run(arguments):
        sys.stdout.write("a library's chatter\n")
        return Answer({"a": 1}, "text")

    monkeypatch.setattr(models_verb, "run", run)
    quiet, loud = dinoclip("models", "--json"), dinoclip("models", "--json", "--verbose")
    assert quiet.json == loud.json == {"a": 1}
    assert (quiet.err, loud.err) == ("", "a library's chatter\n")


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    code = "import sys; from dinoclip_viz.cli import main; sys.exit(main(['models']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_runs_as_a_process_of_its_own():
    command = [sys.executable, "-m", "dinoclip_viz", "models", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["models"][0]["name"] == "playground-dino"
    assert done.stderr == ""
