"""Time and memory of vision-language models on this machine: `python -m tests.benchmarks.vlm_cost` prints JSON.

First, a caption of one 96 px scene by playground-paligemma. Then a PaliGemma of 0.3 billion random parameters, of the
class and the proportions of the published ones: seconds for the prompt (vision tower and first token), tokens per
second, and memory. PaliGemma 2 3B follows by scaling: the prompt costs 2 P operations per token, so its seconds grow
with the parameters P; a generated token reads every weight of the decoder once, so tokens per second fall with the
decoder's bytes; memory is P times the bytes of a weight, plus keys and values.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from dinoclip_viz import load_vlm
from dinoclip_viz.playground import draw

PROMPT, NEW = 280, 16  # tokens: 256 of the image and a question; generated ones
LARGE = {"parameters": 3.03e9, "decoder": 2.61e9, "layers": 26, "key_value_width": 4 * 256}
"""PaliGemma 2 3B: SigLIP So400m and Gemma 2 2B."""


def seconds(call: Callable[[], Any], runs: int) -> float:
    """Median of the runs after one that does not count."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def small_model(dtype: torch.dtype) -> Any:
    """A PaliGemma of 0.3 billion random parameters."""
    from transformers import Gemma2Config, PaliGemmaConfig, PaliGemmaForConditionalGeneration, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, image_size=224,
        patch_size=14, vision_use_head=False,
    )  # fmt: skip
    text = Gemma2Config(
        vocab_size=32_000, hidden_size=1024, intermediate_size=4096, num_hidden_layers=12, num_attention_heads=8,
        num_key_value_heads=4, head_dim=128, query_pre_attn_scalar=128, attn_logit_softcapping=None,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    config = PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_index=31_999, projection_dim=1024, hidden_size=1024,
        vocab_size=32_000,
    )  # fmt: skip
    torch.manual_seed(0)
    return PaliGemmaForConditionalGeneration(config).to(dtype).eval()


def random_figures(dtype: torch.dtype, runs: int) -> dict[str, float]:
    """Seconds of the prompt, seconds per generated token and memory of the random model."""
    model = small_model(dtype)
    count = sum(one.numel() for one in model.parameters())
    decoder = sum(one.numel() for one in model.model.language_model.parameters())
    pixels = torch.zeros(1, 3, 224, 224, dtype=dtype)
    ids = torch.tensor([[31_999] * 256 + [1] + [5] * (PROMPT - 257)])
    inputs = {
        "input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }  # fmt: skip

    def generate(tokens: int) -> None:
        with torch.inference_mode():
            model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)

    first, several = seconds(lambda: generate(1), runs), seconds(lambda: generate(1 + NEW), runs)
    return {
        "parameters": count,
        "decoder": decoder,
        "prompt_seconds": first,
        "token_seconds": (several - first) / NEW,
        "tokens_per_second": NEW / (several - first),
        "weights_bytes": count * torch.finfo(dtype).bits / 8,
    }


def scaled(small: dict[str, float], dtype: torch.dtype) -> dict[str, float]:
    """What the measured model says about PaliGemma 2 3B."""
    width = torch.finfo(dtype).bits / 8
    cache = 2 * LARGE["layers"] * LARGE["key_value_width"] * (PROMPT + NEW) * width
    return {
        "prompt_seconds": small["prompt_seconds"] * LARGE["parameters"] / small["parameters"],
        "tokens_per_second": small["tokens_per_second"] * small["decoder"] / LARGE["decoder"],
        "weights_gb": LARGE["parameters"] * width / 1e9,
        "keys_and_values_gb": cache / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"], help="of the random model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, image, dtype = load_vlm("playground-paligemma"), draw(3000, 1, 96)[0].image, getattr(torch, arguments.dtype)
    found: dict[str, Any] = {"threads": arguments.threads, "runs": arguments.runs}
    found["playground_caption_seconds"] = seconds(lambda: model.caption(image), arguments.runs)
    small = random_figures(dtype, max(3, arguments.runs // 3))
    found |= {"random": small, "paligemma2_3b": scaled(small, dtype)}
    found["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
