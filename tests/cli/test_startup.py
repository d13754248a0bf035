"""A command imports what it needs: heavy libraries that one image does not need stay unloaded."""

import subprocess
import sys

import pytest

import dinoclip_viz as dv

CODE = """
import sys
from dinoclip_viz.cli import main
assert main(sys.argv[1:]) == 0
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})), file=sys.__stdout__)
"""
HEAVY = {"sklearn", "pandas", "open_clip", "timm", "gradio", "datasets", "pyarrow", "faiss", "ray", "lancedb", "av"}
NOT_BY = {
    "pca": HEAVY | {"matplotlib"},
    "classify": HEAVY | {"matplotlib"},
    "heatmap": HEAVY,
    "match": HEAVY,
    "tokens": HEAVY,
}


def loaded(words):
    done = subprocess.run([sys.executable, "-c", CODE, *words], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("verb", NOT_BY)
def test_a_verb_leaves_unneeded_libraries_unloaded(verb, tmp_path):
    image = str(tmp_path / "scene.png")
    dv.playground.draw(2710, 1)[0].image.save(image)
    out = ["--out", str(tmp_path / "figure.png")]
    words = {
        "pca": [image, *out],
        "classify": [image, "--labels", "cat,cup"],
        "heatmap": [image, "--prompt", "a cup", *out],
        "match": [image, image, *out],
        "tokens": [image, *out],
    }
    assert NOT_BY[verb] & loaded([verb, *words[verb]]) == set()
