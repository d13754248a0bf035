"""Training of an affordance model on annotated images: one per class is enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.affordance.example import AffordanceExample, read_examples
from dinoclip_viz.affordance.model import AffordanceModel, make_head
from dinoclip_viz.affordance.settings import AffordanceSettings
from dinoclip_viz.affordance.views import Views, ViewSettings, encode_views
from dinoclip_viz.affordance.words import CONTEXT, TEMPLATES, VerbTexts
from dinoclip_viz.encoders import as_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder

Progress = Callable[[int, int, float], None]
"""Called after each step with its number from 1, the number of steps, and the loss."""

LARGEST_SIZE = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AffordanceRecipe:
    """Settings of a training; every one of its iterations counts equally and the last is kept.

    The authors of OOAL train for 20,000 steps of one image by SGD and keep the step that is best on the test images,
    which reads the test's labels. Here the number of steps is fixed beforehand.

    Attributes:
        steps: number of steps.
        batch: views per step.
        sampled: fraction of the patches of a view that a step sees, chosen at random.
        rate: highest learning rate of AdamW, which rises for a tenth of the steps and then falls to 0.
        decay: weight decay.
        weight: of the patches that answer a verb, at the first step; it falls geometrically to 1. Such patches are one
            in a hundred, and without a weight all verbs have one map in the first hundreds of steps.
        noise: deviation of the noise on the verbs' vectors, in units of their own, so that neighbouring verbs have
            similar maps.
        layers: number of last layers.
        size: longer side in pixels at which images are encoded later, which may be finer than in the training; 0 for
            one and a half times the side of a view.
        templates: prompts of a verb.
        context: number of learnt vectors before a verb; 0 for prompts alone.
        sharpness: factor of the trained head's answers before they become probabilities. The noise and the weight
            leave them too soft; at 1.5 the maps of seed 1500 have the lowest KLD of 1, 1.5, 2 and 3, and two verbs on
            one object differ more.
        views: of the examples.
    """

    steps: int = 400
    batch: int = 4
    sampled: float = 0.5
    rate: float = 1e-3
    decay: float = 0.01
    weight: float = 20.0
    noise: float = 0.2
    layers: int = 3
    size: int = 0
    templates: tuple[str, ...] = TEMPLATES
    context: int = CONTEXT
    sharpness: float = 1.5
    views: ViewSettings = field(default_factory=ViewSettings)

    def __post_init__(self) -> None:
        low = {"steps": 1, "batch": 1, "layers": 1, "size": 0, "context": 0, "decay": 0, "noise": 0}
        for name, least in low.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if min(self.rate, self.weight, self.sharpness) <= 0 or not 0 < self.sampled <= 1:
            found = f"rate {self.rate}, weight {self.weight}, sharpness {self.sharpness}, sampled {self.sampled}"
            raise ValueError(f"found {found}; expected values above 0, and sampled up to 1")


def fit_affordance(
    examples: Sequence[AffordanceExample],
    encoder: str | ImageEncoder = "playground-dino",
    texts: str | TextEncoder = "playground-clip",
    head: str = "ooal",
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    recipe: AffordanceRecipe | None = None,
) -> AffordanceModel:
    """Train a head between a frozen DINO and a frozen text encoder on annotated images.

    Examples are encoded once, in several views; the loss is the binary cross-entropy over all verbs and patches.

    Args:
        examples: annotated images, one per class or more. Images without any region teach where verbs are not answered.
        encoder: a vision transformer of the catalogue, loaded or by name.
        texts: a text encoder of the catalogue, loaded or by name.
        head: "ooal" (Li et al. 2024) or "film" (in the form of UAD, Tang et al. 2025).
        steps: number of steps; None for that of the recipe.
        seed: of everything random.
        progress: called after each step.
        recipe: further settings; None for the usual ones.

    Raises:
        EncoderError: an encoder cannot be loaded, or is not a vision transformer.
        ImageError: an image cannot be read.
        ValueError: no example, no verb, a mask of another size or range, an unknown head, or steps below 1.

    Examples:
        >>> from dinoclip_viz import playground
        >>> scene = playground.draw(20, 1, objects=1)[0]
        >>> example = AffordanceExample(scene.image, {"grasp": scene.instances == 1})
        >>> fit_affordance([example], steps=2).predict(scene.image, ["grasp", "hold"]).shape
        (2, 96, 96)
    """
    chosen = recipe or AffordanceRecipe()
    count = chosen.steps if steps is None else steps
    if count < 1:
        raise ValueError(f"steps={count}; expected 1 or more")
    verbs, read = read_examples(examples)
    images = as_encoder(encoder)
    words_of = load_text_encoder(texts, images.device) if isinstance(texts, str) else texts
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _untrained(images, words_of, head, verbs, chosen)
        views = encode_views(images, read, chosen.views, chosen.layers, seed)
        log.info("%d views of %d examples on grids of %d x %d", len(views), len(read), *views.targets.shape[2:])
        _train(model, views, chosen, count, torch.Generator().manual_seed(seed), progress)
    return model


def _untrained(
    images: ImageEncoder, texts: TextEncoder, head: str, verbs: tuple[str, ...], recipe: AffordanceRecipe
) -> AffordanceModel:
    words = VerbTexts(texts, recipe.templates, recipe.context)
    settings = AffordanceSettings(
        encoder=images.name,
        texts=texts.name,
        space=images.patch_space,
        text_space=texts.space,
        verbs=verbs,
        width=images.patch_dimension,
        text_width=texts.dimension,
        head=head,
        layers=recipe.layers,
        size=recipe.size or min(3 * recipe.views.side(images) // 2, LARGEST_SIZE),
        templates=recipe.templates,
        context=0 if words.context is None else len(words.context),
        sharpness=recipe.sharpness,
    )
    return AffordanceModel(images, words.to(images.device), make_head(settings).to(images.device), settings)


def _train(
    model: AffordanceModel, views: Views, recipe: AffordanceRecipe, steps: int, chance: torch.Generator,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Train head and context, and set the centre of the verbs."""
    head, words, device = model.head.train(), model.words.train(), model.words.centre.device
    weights = [*head.parameters(), *words.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    for step in range(1, steps + 1):
        rows = torch.randint(len(views), (recipe.batch,), generator=chance)
        texts = _noisy(_around_centre(words.raw(model.verbs)), recipe.noise, chance)
        patches, targets = _sampled(views, rows, recipe.sampled, chance)
        logits = head(patches.float().to(device), views.cls[rows].to(device), texts)
        weight = torch.tensor(recipe.weight ** (1 - step / steps), device=device)
        loss = F.binary_cross_entropy_with_logits(logits, targets.to(device), pos_weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, steps, float(loss.detach()))
    head.eval().requires_grad_(False)
    words.eval().requires_grad_(False)
    if len(model.verbs) > 1:
        with torch.no_grad():
            words.centre.copy_(words.raw(model.verbs).mean(0))


def _sampled(views: Views, rows: Tensor, fraction: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Patches (B, N, S, 1, D) and targets (B, V, S, 1) at S random positions, which differ from view to view."""
    cells = views.patches.shape[2] * views.patches.shape[3]
    count = max(1, round(cells * fraction))
    chosen = torch.stack([torch.randperm(cells, generator=chance)[:count] for _ in rows])  # (B, S)
    patches = [views.patches[row].flatten(1, 2)[:, cell] for row, cell in zip(rows, chosen, strict=True)]
    targets = [views.targets[row].flatten(1)[:, cell] for row, cell in zip(rows, chosen, strict=True)]
    return torch.stack(patches)[:, :, :, None], torch.stack(targets)[..., None]


def _around_centre(texts: Tensor) -> Tensor:
    """(V, E) vectors minus their mean; one alone has no centre."""
    return texts - texts.mean(0) if len(texts) > 1 else texts


def _noisy(texts: Tensor, noise: float, chance: torch.Generator) -> Tensor:
    """(V, E) vectors with Gaussian noise of a fraction of their own deviation."""
    if not noise:
        return texts
    return texts + noise * texts.detach().std() * torch.randn(texts.shape, generator=chance).to(texts.device)


def _rate(step: int, steps: int) -> float:
    """Factor of the learning rate: linear rise over a tenth of the steps, then half a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return float(0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * (step - rise) / max(1, steps - rise))))
