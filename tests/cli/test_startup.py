"""A command imports what it needs: besides what transformers itself imports for a model, the libraries listed here."""

import gc
import json
import subprocess
import sys
from argparse import Namespace

import pytest

import dinoclip_viz as dv
from dinoclip_viz import cli

BASELINE = "import torch; from transformers import Dinov2Model"
SHOW = "; import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.__stdout__)"
HEAVY = {
    "sklearn", "pandas", "open_clip", "timm", "gradio", "datasets", "pyarrow", "faiss", "ray", "lancedb", "av",
    "matplotlib", "matplotlib.pyplot", "torch._inductor", "accelerate", "skimage", "ipywidgets", "IPython",
}  # fmt: skip
ALWAYS = {"dinoclip_viz", "transformers", "PIL", "safetensors", "tokenizers", "huggingface_hub", "tqdm"}
FIGURES = {
    "matplotlib", "mpl_toolkits", "pyparsing", "kiwisolver", "dateutil", "six", "cycler", "fontTools", "contourpy",
}  # fmt: skip
TABLES = {"pyarrow", "cloudpickle"}
ALLOWED = {
    "pca": set(),
    "classify": set(),
    "heatmap": FIGURES,
    "match": set(),
    "tokens": FIGURES,
    "embed": TABLES | {"pandas", "dateutil", "six", "pytz", "tzdata", "numexpr", "bottleneck"},  # pyarrow's, in writing
    "search": TABLES,
}
"""Verb -> the packages beyond `ALWAYS` that it may import."""


def modules(code, words=()):
    done = subprocess.run([sys.executable, "-c", code + SHOW, *words], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def of_command(words):
    return modules("import sys; from dinoclip_viz.cli import main; code = main(sys.argv[1:]); assert code == 0", words)


@pytest.fixture(scope="module")
def baseline():
    return modules(BASELINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("startup")
    (place / "images").mkdir()
    dv.playground.draw(2710, 1)[0].image.save(place / "images" / "scene.png")
    return place


@pytest.fixture(scope="module")
def gallery(folder):
    dv.embed(str(folder / "images"), "playground-dino", folder / "gallery")
    return str(folder / "gallery")


@pytest.mark.parametrize("verb", ALLOWED)
def test_a_verb_imports_the_model_library_and_what_is_listed(verb, folder, gallery, baseline):
    image = str(folder / "images" / "scene.png")
    out = ["--out", str(folder / "figure.png")]
    words = {
        "pca": [image, *out],
        "classify": [image, "--labels", "cat,cup"],
        "heatmap": [image, "--prompt", "a cup", *out],
        "match": [image, image, *out],
        "tokens": [image, *out],
        "embed": [str(folder / "images"), "--out", str(folder / "store")],
        "search": [gallery, "--image", image],
    }
    found = of_command([verb, *words[verb]])
    assert "transformers.models.dinov2.modeling_dinov2" in found or verb in ("classify", "heatmap")
    added = found - baseline
    packages = {name.split(".")[0] for name in added} - sys.stdlib_module_names
    assert {name for name in packages if not name.startswith("_")} <= ALWAYS | ALLOWED[verb]
    assert added & (HEAVY - ALLOWED[verb]) == set()
    assert [name for name in added if name.startswith(("torch.", "torchvision.", "scipy."))] == []


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["pca", "--help"]])
def test_help_imports_no_numerical_library(words):
    code = "import sys; from dinoclip_viz.cli import main; main(sys.argv[1:])"
    packages = {name.split(".")[0] for name in modules(code, words)}
    assert packages & (HEAVY | {"torch", "numpy", "transformers", "PIL", "scipy"}) == set()


@pytest.mark.parametrize(("progress", "short"), [(False, True), (True, False)])
def test_garbage_is_collected_less_often_while_a_short_verb_runs(progress, short):
    seen = []

    def run(arguments):
        seen.append(gc.get_threshold())
        raise ValueError("nothing to do")

    before = gc.get_threshold()
    with pytest.raises(ValueError, match="nothing to do"):
        cli._answer(Namespace(run=run, progress=progress))
    assert gc.get_threshold() == before
    assert (seen[0][0] > before[0]) == short and seen[0][1:] == before[1:]
