"""Which device and dtype are chosen, what is refused, and that models compute in what they say."""

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import playground
from dinoclip_viz.encoders import EncoderError, devices, load_encoder, load_pair, load_text_encoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.devices import chosen_device, chosen_dtype, described, has_amx, is_embedded
from dinoclip_viz.encoders.devices import is_fast_in_bfloat16 as really_fast
from dinoclip_viz.models import load_model

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")


@pytest.fixture
def machine(monkeypatch):
    """A machine with these devices; tensors are made on none of them."""

    def make(cuda=0, mps=False, bfloat16=True, amx=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
        monkeypatch.setattr(torch.cuda.device, "__enter__", lambda self: None)
        monkeypatch.setattr(torch.cuda.device, "__exit__", lambda self, *_: None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(devices, "has_amx", lambda: amx)
        monkeypatch.setattr(devices, "is_fast_in_bfloat16", really_fast)
        there = {"cpu", *(f"cuda:{index}" for index in range(cuda)), *(["mps"] if mps else [])}

        def empty(count, device):
            if str(device) not in there:
                raise RuntimeError("no such\ndevice")

        monkeypatch.setattr(torch, "empty", empty)

    return make


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(0, False, CPU), (0, True, MPS), (1, False, CUDA), (2, True, CUDA)]
)
def test_auto_takes_cuda_then_mps_then_the_cpu(machine, cuda, mps, chosen):
    machine(cuda, mps)
    assert chosen_device() == chosen_device("auto") == chosen_device(None) == chosen


def test_a_cuda_device_has_its_number(machine):
    machine(cuda=2)
    assert [str(chosen_device(name)) for name in ("cuda", "cuda:1", torch.device("cuda"))] == [
        "cuda:0", "cuda:1", "cuda:0",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:-1", "CPU", "cpu:0", "", "nonsense:0"])
def test_words_for_no_device_are_refused_with_those_that_exist(machine, word):
    machine(cuda=1)
    with pytest.raises(EncoderError) as caught:
        chosen_device(word)
    line = str(caught.value)
    assert f"device {word!r} is not available; expected auto, cpu, cuda, cuda:N or mps" in line
    assert line.endswith("this machine has cpu, cuda:0")
    with pytest.raises(EncoderError, match="expected auto, cpu, cuda, cuda:N or mps"):
        devices.device_word(word)


@pytest.mark.parametrize("word", ["cuda:2", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(machine, word):
    machine(cuda=2)
    with pytest.raises(EncoderError) as caught:
        chosen_device(word)
    assert str(caught.value) == f"device '{word}' is not available; this machine has cpu, cuda:0, cuda:1"


def test_a_device_that_fails_is_refused_with_the_reason(machine, monkeypatch):
    machine(cuda=1)

    def empty(count, device):
        raise RuntimeError("CUDA error:\nbroken")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(EncoderError, match=r"device 'cuda' is not available \(CUDA error: broken\); this machine has"):
        chosen_device("cuda")


def test_what_is_no_device_is_refused():
    with pytest.raises(EncoderError, match="found int for device; expected auto"):
        chosen_device(0)


@pytest.mark.parametrize(
    ("device", "bfloat16", "amx", "name", "chosen"),
    [
        (CUDA, True, False, "dinov2-small", torch.bfloat16),
        (CUDA, False, True, "dinov2-small", torch.float32),
        (MPS, True, True, "dinov2-small", torch.float32),
        (CPU, True, True, "dinov2-small", torch.bfloat16),
        (CPU, True, False, "dinov2-small", torch.float32),
        (CPU, True, True, "random:dinov2-small", torch.bfloat16),
        (CUDA, True, True, "playground-dino", torch.float32),
        (CPU, True, True, "playground-clip", torch.float32),
        (CPU, True, True, "playground", torch.float32),
        (CUDA, True, True, "random:playground-dino", torch.float32),
        (CUDA, True, True, "pixels", torch.float32),
        (CPU, True, True, str(PLAYGROUND / "playground-projector"), torch.float32),
        (CPU, True, True, "timm:vit_small_patch14_dinov2.lvd142m", torch.bfloat16),
    ],
)
def test_the_table_of_auto(machine, device, bfloat16, amx, name, chosen):
    machine(1, True, bfloat16, amx)
    assert chosen_dtype("auto", device, name) == chosen_dtype(None, device, name) == chosen


@pytest.mark.parametrize("given", ["bfloat16", torch.bfloat16])
def test_a_given_dtype_is_taken_for_every_model(given):
    for name in ("playground-dino", "dinov2-small"):
        assert chosen_dtype(given, CPU, name) == torch.bfloat16


@pytest.mark.parametrize("given", ["float", "bf16", "FLOAT32", "torch.float32", ""])
def test_words_for_no_dtype_are_refused(given):
    with pytest.raises(EncoderError, match="expected auto, float32, bfloat16 or float16"):
        chosen_dtype(given, CPU)


@pytest.mark.parametrize(("given", "found"), [(torch.int8, "dtype torch.int8"), (32, "int for dtype")])
def test_what_is_no_floating_point_type_is_refused(given, found):
    with pytest.raises(EncoderError, match=f"found {found}; expected torch.float32, torch.bfloat16"):
        chosen_dtype(given, CPU)


def test_amx_is_torchs_answer_or_the_cpus_flags(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for answer in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: answer, raising=False)  # noqa: B023
        assert has_amx() is answer
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.setattr(devices, "_CPU", tmp_path / "cpuinfo")
    assert not has_amx()
    for flags, answer in (("avx512_bf16 amx_bf16\n", True), ("avx512_bf16\n", False)):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
        assert has_amx() is answer
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    (tmp_path / "cpuinfo").write_text("flags : amx_bf16\n")
    assert not has_amx()


def test_embedded_models_are_known_by_name_and_folder(tmp_path):
    inside = ["playground-dino", "random:playground-clip", "playground", "pixels", str(PLAYGROUND / "playground-dino")]
    assert all(map(is_embedded, inside))
    assert not any(map(is_embedded, ["dinov2-small", "someone/model", str(tmp_path), "", "playground-dyno", "~nobody"]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_floats_give_nearly_the_same_features(dtype):
    images = [scene.image for scene in playground.draw(1001, 8, 96)]
    exact, short = (load_encoder("playground-dino", "cpu", name) for name in ("float32", dtype))
    assert (exact.dtype, short.dtype) == (torch.float32, getattr(torch, dtype))
    one, other = exact.encode(images), short.encode(images)
    assert not torch.equal(one.pooled, other.pooled)
    assert other.pooled.dtype == other.patches.dtype == torch.float32
    for a, b in ((one.pooled, other.pooled), (one.mean, other.mean), (one.patches, other.patches)):
        cosines = F.cosine_similarity(a.flatten(0, -2), b.flatten(0, -2))
        assert cosines.mean() >= 0.999 and cosines.min() >= 0.99
    assert F.cosine_similarity(one.pooled, other.pooled).min() >= 0.999


@pytest.mark.parametrize("kind", ["clip", "siglip", "tips", "openclip"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_both_towers_of_a_pair_compute_in_the_dtype(tiny_folder, draw_images, kind, dtype):
    images, texts = load_pair(tiny_folder(kind), "cpu", dtype)
    assert images.dtype == texts.dtype == getattr(torch, dtype)
    assert images.encode(draw_images((64, 64))).pooled.isfinite().all()
    assert texts.encode(["a red cat"]).pooled.isfinite().all()


def test_names_of_types_and_types_are_the_same_setting(tiny_folder):
    folder = tiny_folder("dinov2")
    encoder = load_encoder(folder, "cpu", "bfloat16")
    assert load_encoder(folder, torch.device("cpu"), torch.bfloat16) is encoder
    assert load_encoder(folder, "cpu") is load_encoder(folder, "cpu", "float32") is load_encoder(folder, "cpu", None)


def test_pixels_are_read_on_the_cpu_in_float32():
    assert load_encoder("pixels", "cpu", "bfloat16").dtype == torch.float32


def test_auto_is_chosen_for_each_part_of_a_model(monkeypatch, tiny_folder):
    monkeypatch.setattr(devices, "is_fast_in_bfloat16", lambda device: True)
    assert load_encoder(tiny_folder("dinov2"), "cpu").dtype == torch.bfloat16
    assert load_text_encoder(tiny_folder("clip"), "cpu").dtype == torch.bfloat16
    model = load_model("playground-clip", tiny_folder("dinov2"), "cpu")
    assert model.guide.dtype == torch.bfloat16
    assert model.images.dtype == model.texts.dtype == torch.float32
    assert described(model.encoders) == "cpu, images float32, texts float32, guide bfloat16"
    whole = load_model("playground-clip", tiny_folder("dinov2"), "cpu", "float32")
    assert {part.dtype for part in whole.encoders.values()} == {torch.float32}
    assert described(whole.encoders) == "cpu, float32"
    assert load_model("playground", device="cpu") is load_model("playground", device="cpu", dtype="float32")


def test_a_models_projector_computes_in_float32():
    model = load_model("playground", device="cpu", dtype="bfloat16")
    assert {part.dtype for part in model.encoders.values()} == {torch.bfloat16}
    assert {weights.dtype for weights in model.projector.parameters()} == {torch.float32}
    image = playground.draw(1001, 1, 96)[0].image
    assert model.encode_images([image]).pooled.dtype == torch.float32


def test_a_device_is_described_with_its_product(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert devices.description(CUDA, torch.bfloat16) == "cuda:0 (NVIDIA H100), bfloat16"
    assert devices.description(CPU, torch.float32) == "cpu, float32"
