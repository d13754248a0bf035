"""Learning curves as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from dinoclip_viz.viz.charts.histogram import FOREGROUND, INK, figure_to_image

_SECOND = "#0072b2"


def learning_curve(history: Sequence[Mapping[str, float]], title: str = "") -> Image.Image:
    """Loss and learning rate per epoch on the left, retrieval or loss on held-out images on the right.

    Args:
        history: a record per epoch, with "epoch", "loss", "rate" and held-out scores; records with "stage" are
            skipped.
        title: of the figure; "" for none.

    Raises:
        ValueError: the history has no record.
    """
    from matplotlib.figure import Figure

    rows = [row for row in history if "stage" not in row]
    if not rows:
        raise ValueError("the history is empty; expected a record of at least one epoch")
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(10.24, 3.84), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in rows], color=FOREGROUND, marker="o", markersize=3)
    left.set_ylabel("loss", color=FOREGROUND)
    rates = left.twinx()
    rates.plot(epochs, [row.get("rate", float("nan")) for row in rows], color=INK, linewidth=1, linestyle=":")
    rates.set_ylabel("learning rate (dotted)", color=INK)
    ways = [("image_to_text", "image to text", FOREGROUND), ("text_to_image", "text to image", _SECOND)]
    for name, words, colour in ways:
        values = [100 * row[f"{name}_R@1"] for row in rows if f"{name}_R@1" in row]
        if values:
            right.plot(epochs[: len(values)], values, color=colour, marker="o", markersize=3, label=words)
            ratio = rows[-1].get(f"{name}_share")  # to the teacher's
            if ratio:
                right.axhline(values[-1] / ratio, color=colour, linewidth=1, linestyle=(0, (4, 2)))
    if not right.lines and "held_loss" in rows[0]:
        right.plot(epochs, [row["held_loss"] for row in rows], color=FOREGROUND, marker="o", markersize=3, label="loss")
        right.set_ylabel("loss, held out")
    elif not right.lines:
        right.plot(epochs, [row.get("cosine", float("nan")) for row in rows], color=FOREGROUND, label="cosine")
        right.set_ylabel("cosine to the teacher")
    else:
        right.set_ylabel("R@1, held out, % (dashed: teacher)")
    right.legend(frameon=False, loc="upper right" if "held_loss" in rows[0] else "lower right")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title, color=INK)
    return figure_to_image(figure)
