"""Hours, money and disk space of embedding many images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What it takes to embed N images.

    Attributes:
        images: N.
        hours: of one machine; divide by the number of machines.
        money: hours times the price of a machine per hour.
        gigabytes: of the store.
    """

    images: int
    hours: float
    money: float
    gigabytes: float


def cost(images: int, images_per_second: float, price_per_hour: float, values: int, row_bytes: int = 100) -> Cost:
    """Hours, money and disk space of embedding N images.

    Args:
        images: N.
        images_per_second: of one machine, through all encoders, measured with `dinoclip embed`.
        price_per_hour: of one machine.
        values: of all vectors stored per image, in float16: `pooled` and `mean` of each encoder, captions.
        row_bytes: of metadata per image.

    Raises:
        ValueError: a number is not positive.

    Examples:
        >>> cost(1_000_000, images_per_second=1000, price_per_hour=2.0, values=768)
        Cost(images=1000000, hours=0.2777777777777778, money=0.5555555555555556, gigabytes=1.636)
    """
    if min(images, images_per_second, values) <= 0 or price_per_hour < 0 or row_bytes < 0:
        raise ValueError("found a number that is not positive; expected images, images per second and values above 0")
    hours = images / images_per_second / 3600
    return Cost(images, hours, hours * price_per_hour, images * (2 * values + row_bytes) / 1e9)
