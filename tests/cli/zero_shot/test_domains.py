"""`dinoclip evaluate domains`."""

import pytest

from dinoclip_viz.playground import DOMAINS


def test_domains_are_measured_next_to_the_plain_scenes(dinoclip):
    words = ["evaluate", "domains", "--seed", 1702, "--count", 60, "--domain", "fog", "--domain", "tiny"]
    found = dinoclip(*words, "--json").json["results"][0]
    assert list(found["domains"]) == ["plain", "fog", "tiny"] and found["images"] == 60
    plain = found["domains"]["plain"]["top1_templates"]
    assert plain > 0.9 and all(found["domains"][name]["top1_templates"] < plain for name in ("fog", "tiny"))
    printed = dinoclip(*words).out
    assert DOMAINS["fog"].about in printed and f"{100 * plain:.1f}" in printed


@pytest.mark.parametrize("words", [["--domain", "dusk"], ["--model", "playground-dino"], ["--count", 0]])
def test_what_cannot_be_measured_is_refused(dinoclip, words):
    dinoclip("evaluate", "domains", *words).refused(str(words[1]))
