"""Projectors on a hub: pushed, loaded again, and refused in one line."""

from __future__ import annotations

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.encoders import EncoderError
from tests.encoders.hub.writing import tiny_projector


@pytest.fixture
def made(tmp_path):
    tiny_projector(tmp_path / "made")
    return dv.Projector.from_pretrained(tmp_path / "made")


def test_a_projector_comes_back_as_it_was_pushed(hub, served, made, accepted):
    address = made.push_to_hub("tester/dino-to-clip", private=True)
    snapshot = hub.repositories.snapshot("tester/dino-to-clip")
    assert address.endswith(snapshot.commit)
    assert {"config.json", "model.safetensors", "README.md"} <= snapshot.files.keys()
    again = dv.Projector.from_pretrained("tester/dino-to-clip")
    for key, value in made.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)
    assert (again.image_encoder, again.text_encoder) == (made.image_encoder, made.text_encoder)


def test_a_second_push_changes_the_commit_and_the_weights(hub, made, accepted):
    made.push_to_hub("tester/twice")
    first = hub.repositories.snapshot("tester/twice").commit
    dv.Projector.from_pretrained("tester/twice")
    with torch.no_grad():
        made.pooled_mean.fill_(0.25)
    made.push_to_hub("tester/twice")
    assert hub.repositories.snapshot("tester/twice").commit != first
    assert dv.Projector.from_pretrained("tester/twice").pooled_mean.unique().tolist() == [0.25]


def test_pushing_without_a_login_is_one_line(hub, made):
    with pytest.raises(EncoderError, match=r"^the projector is not uploaded: .*requires a login .*`hf auth login`"):
        made.push_to_hub("tester/unseen")
    assert not hub.repositories.has("tester/unseen")


def test_a_fault_while_pushing_leaves_no_half_of_a_projector(hub, made, accepted):
    made.push_to_hub("tester/whole")
    commit = hub.repositories.snapshot("tester/whole").commit
    with torch.no_grad():
        made.pooled_mean.fill_(0.5)
    hub.misbehave("403", on=("upload",), match="/commit/")
    with pytest.raises(EncoderError, match=r"^the projector is not uploaded: "):
        made.push_to_hub("tester/whole")
    assert hub.repositories.snapshot("tester/whole").commit == commit
    hub.behave()
    made.push_to_hub("tester/whole")
    assert dv.Projector.from_pretrained("tester/whole").pooled_mean.unique().tolist() == [0.5]


def test_options_of_huggingface_hub(hub, made, tmp_path):
    cache = tmp_path / "another"
    dv.Projector.from_pretrained("someone/dino-to-clip", cache_dir=cache)
    assert list(cache.glob("models--someone--dino-to-clip/snapshots/*/model.safetensors"))
    hub.misbehave("never")
    dv.Projector.from_pretrained("someone/dino-to-clip", cache_dir=cache, local_files_only=True)
    with pytest.raises(EncoderError, match="someone/dino-to-clip is not on this disk"):
        dv.Projector.from_pretrained("someone/dino-to-clip", local_files_only=True)


def test_a_repository_of_another_kind_is_one_line(hub):
    with pytest.raises(EncoderError, match=r"config.json of .* is not that of a projector"):
        dv.Projector.from_pretrained("facebook/dinov2-small")
