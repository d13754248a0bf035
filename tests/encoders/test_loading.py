"""Every way that loading can fail ends in one line that says what to do; names become spaces."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from dinoclip_viz.encoders import EncoderError, load_encoder, load_pair, load_text_encoder


def refused(name, **named):
    with pytest.raises(EncoderError) as caught:
        load_encoder(name, **{"device": "cpu", **named})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copy(tiny_folder, tmp_path):
    def make(kind="dinov2"):
        return Path(shutil.copytree(tiny_folder(kind), tmp_path / kind))

    return make


def test_device_and_dtype_are_attributes_and_logged(copy, caplog):
    with caplog.at_level(logging.INFO, logger="dinoclip_viz"):
        encoder = load_encoder(str(copy()), device="cpu")
    assert encoder.device == torch.device("cpu")
    assert encoder.dtype == torch.float32
    assert "on cpu as torch.float32" in caplog.text


def test_a_folders_space_is_its_name_and_its_weights(copy, write_tiny, tmp_path):
    folder = copy()
    first = load_encoder(str(folder), device="cpu").space
    assert first.startswith("dinov2-")
    assert load_encoder(str(folder), device="cpu").space == first
    write_tiny.tiny_dinov2(folder, seed=1)  # other weights of the same shapes
    assert load_encoder(str(folder), device="cpu").space != first


def test_unknown_name_names_the_nearest():
    assert "the nearest names are dinov2-" in refused("dinov2_small")


def test_missing_folder():
    assert "there is no folder ./nowhere" in refused("./nowhere")


def test_a_file_is_no_folder(copy):
    assert "is a file; expected" in refused(str(copy() / "config.json"))


def test_folder_without_a_model(tmp_path):
    assert "has neither config.json (transformers) nor open_clip_config.json" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("model.safetensors", "has no model.safetensors"),
        ("preprocessor_config.json", "has no preprocessor_config.json"),
    ],
)
def test_missing_file_is_named(copy, missing, line):
    folder = copy()
    (folder / missing).unlink()
    assert line in refused(str(folder))


def test_missing_tokenizer_is_named(copy):
    folder = copy("clip")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(EncoderError, match=r"has no tokenizer; expected one of tokenizer\.json"):
        load_text_encoder(str(folder), device="cpu")


def test_a_pickle_is_never_loaded(copy):
    folder = copy()
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "holds pytorch_model.bin, a pickle that could run code" in refused(str(folder))


def test_corrupt_weights(copy):
    folder = copy()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert "cannot be read" in refused(str(folder))
    path.write_bytes(b"")
    assert "cannot be read" in refused(str(folder))


def test_weights_of_another_model(copy, write_tiny, tmp_path):
    folder, other = copy(), write_tiny.tiny_dino(tmp_path / "other")
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    assert "cannot be read" in refused(str(folder))


def test_weights_that_lack_a_tensor(copy, capfd):
    from safetensors.torch import load_file, save_file

    folder = copy()
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack 1 tensors of a dinov2 model, layernorm.weight first" in refused(str(folder))
    assert capfd.readouterr() == ("", "")


def test_unsupported_architecture_lists_the_supported(copy):
    folder = copy()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    line = refused(str(folder))
    assert "model type 'bert' is not supported" in line
    assert "dinov2, dinov2_with_registers, dinov3_vit" in line
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "siglip2"}))
    assert "google/siglip2-base-patch16-224" in refused(str(folder))


def test_broken_config(copy):
    folder = copy()
    (folder / "config.json").write_text("[1")
    assert "config.json is not a JSON object" in refused(str(folder))


def test_folders_run_no_code_of_their_own(copy):
    folder = copy()
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('code was run')")
    load_encoder(str(folder), device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "nonsense:0"])
def test_wrong_device(tiny_folder, device):
    assert f"device '{device}' is not available" in refused(tiny_folder("dinov2"), device=device)


def test_dtype_must_be_a_float(tiny_folder):
    assert "found dtype torch.int8; expected torch.float32" in refused(tiny_folder("dinov2"), dtype=torch.int8)


def test_a_vision_model_makes_no_pair(tiny_folder):
    with pytest.raises(EncoderError, match="reads no text"):
        load_pair(tiny_folder("dinov2"), device="cpu")


class TestHub:
    """What the hub answers is played by a stub in place of huggingface_hub's functions."""

    @pytest.fixture
    def hub(self, monkeypatch):
        def answer(download, discussions=lambda *_, **__: iter(())):
            monkeypatch.setattr("huggingface_hub.snapshot_download", download)
            monkeypatch.setattr("huggingface_hub.HfApi.get_repo_discussions", discussions)

        return answer

    @staticmethod
    def error(kind, message="no"):
        from huggingface_hub import errors

        response = type("Response", (), {"headers": {}, "request": None, "status_code": 404})()
        return getattr(errors, kind)(message, response=response)

    def raising(self, error):
        def download(*_, **__):
            raise error

        return download

    def test_what_is_on_disk_loads_as_its_catalogue_row(self, hub, tiny_folder):
        asked = []
        hub(lambda repository, allow_patterns, **_: asked.append((repository, allow_patterns)) or tiny_folder("dinov2"))
        encoder = load_encoder("dinov2-small", device="cpu")
        assert encoder.space == "facebook/dinov2-small"
        assert encoder.name == "dinov2-small"
        [(repository, patterns)] = asked
        assert repository == "facebook/dinov2-small"
        assert not [pattern for pattern in patterns if pattern.endswith((".bin", ".pt", ".py"))]

    def test_any_hub_id_is_asked_for(self, hub, tiny_folder):
        hub(lambda *_, **__: tiny_folder("clip"))
        images, texts = load_pair("someone/their-clip", device="cpu")
        assert images.space == texts.space == "someone/their-clip"

    def test_out_of_reach(self, hub, monkeypatch):
        from huggingface_hub import constants
        from huggingface_hub.errors import LocalEntryNotFoundError

        hub(self.raising(LocalEntryNotFoundError("nothing cached")))
        line = refused("dinov2-small")
        assert "facebook/dinov2-small is not on this disk and the Hugging Face hub cannot be reached" in line
        assert "playground-dino, playground-clip and local folders work without it" in line
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE is set" in refused("facebook/dinov2-small")

    def test_no_network(self, hub):
        hub(self.raising(OSError("Name or service not known")))
        assert "could not be fetched (Name or service not known)" in refused("dinov2-small")

    def test_gated(self, hub):
        for kind in ("GatedRepoError", "RepositoryNotFoundError"):
            hub(self.raising(self.error(kind)))
            line = refused("dinov3-vits16")
            assert "accept its licence on https://huggingface.co/facebook/dinov3-vits16-pretrain-lvd1689m" in line
            assert "`hf auth login`" in line

    def test_no_such_repository(self, hub):
        hub(self.raising(self.error("RepositoryNotFoundError")))
        line = refused("facebook/dinov2-smal")
        assert "the hub has no repository 'facebook/dinov2-smal'" in line
        assert "facebook/dinov2-small" in line

    def test_a_refusal(self, hub):
        hub(self.raising(self.error("HfHubHTTPError", "503 Service\nUnavailable")))
        assert "the hub refused facebook/dinov2-small (503 Service Unavailable" in refused("dinov2-small")

    def test_pickles_alone_are_refused(self, hub, copy):
        folder = copy()
        (folder / "model.safetensors").unlink()
        hub(lambda *_, **__: str(folder))
        line = refused("someone/old-model")
        assert "someone/old-model has no model.safetensors, and a pickle is never loaded" in line
        assert "hf-hub:someone/old-model" in line

    def test_safetensors_from_the_conversion_bots_request(self, hub, copy, tiny_folder):
        from types import SimpleNamespace

        main = copy()
        (main / "model.safetensors").unlink()
        title = "Adding `safetensors` variant of this model"
        requests = [SimpleNamespace(title="Something else", num=3), SimpleNamespace(title=title, num=7)]

        def discussions(api, repository, author, discussion_type):
            assert (author, discussion_type) == ("SFconvertbot", "pull_request")
            return iter(requests)

        hub(
            lambda _, revision, **__: tiny_folder("dinov2") if revision == "refs/pr/7" else str(main),
            discussions,
        )
        assert load_encoder("someone/old-model", device="cpu").space == "someone/old-model"

    def test_offline_another_snapshot_with_weights_will_do(self, hub, copy, tmp_path, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        converted = copy()
        main = tmp_path / "0main"
        main.mkdir()
        hub(lambda *_, **__: str(main))
        assert load_encoder("someone/old-model", device="cpu").revision == converted.name

    def test_open_clip_files_by_prefix(self, hub, tiny_folder):
        hub(lambda *_, **__: tiny_folder("openclip"))
        assert load_encoder("hf-hub:someone/their-clip", device="cpu").space == "hf-hub:someone/their-clip"


def test_offline_without_a_cache_says_what_works(tmp_path):
    """The real hub code in a process of its own, as HF_HUB_OFFLINE is read on import."""
    import os
    import subprocess
    import sys

    script = "from dinoclip_viz.encoders import load_encoder; load_encoder('dinov2-small', device='cpu')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "facebook/dinov2-small is not on this disk and HF_HUB_OFFLINE is set" in last
