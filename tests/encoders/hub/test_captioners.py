"""Captioners of `reinforce` come from the hub as encoders do."""

from __future__ import annotations

import pytest

from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.reinforce.captions import ModelCaptions
from tests.reinforce.test_captions import tiny_captioner

NAME = "someone/captions"


@pytest.fixture
def captioner(served):
    return tiny_captioner(served / NAME)


def test_a_captioner_loads_by_its_hub_id(hub, captioner):
    assert ModelCaptions(NAME, "cpu").name == NAME
    assert not [one.path for one in hub.requests if one.path.endswith((".bin", ".py", ".pt"))]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("500", "the hub has a fault (500)"), ("never", "did not answer within 0.3 s"), ("401", "hf auth login")],
)
def test_a_fault_of_the_hub_is_one_line(hub, captioner, fault, words):
    hub.misbehave(fault)
    with pytest.raises(EncoderError) as refused:
        ModelCaptions(NAME, "cpu")
    line = str(refused.value)
    assert line.startswith(f"captioner {NAME} cannot be loaded (") and words in line and "\n" not in line
    hub.behave()
    assert ModelCaptions(NAME, "cpu").name == NAME
