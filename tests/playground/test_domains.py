"""Domains: the same scenes seen differently."""

import numpy as np
import pytest

from dinoclip_viz.playground import DOMAINS, draw


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_changes_the_image_and_is_reproducible(domain):
    plain, first, again = draw(1610, 6, 64), draw(1610, 6, 64, domain=domain), draw(1610, 3, 64, domain=domain)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=False))
    assert all(scene.image.size == (64, 64) and scene.image.mode == "RGB" for scene in first)
    for before, after in zip(plain, first, strict=True):
        assert np.abs(np.asarray(before.image, float) - np.asarray(after.image, float)).mean() > 3
        assert [thing["name"] for thing in before.objects] == [thing["name"] for thing in after.objects]


def test_only_occlusion_and_size_change_the_ground_truth():
    plain = draw(1620, 8, 64)
    for domain in DOMAINS:
        seen = draw(1620, 8, 64, domain=domain)
        shares = [(s.mask > 0).sum() / (p.mask > 0).sum() for s, p in zip(seen, plain, strict=True)]
        if domain == "occlusion":
            assert 0.6 < np.mean(shares) < 0.9
        elif domain == "tiny":
            assert np.mean(shares) < 0.25
        else:
            assert shares == [1.0] * 8


def test_what_is_hidden_has_no_label():
    for plain, hidden in zip(draw(1630, 6, 64), draw(1630, 6, 64, domain="occlusion"), strict=True):
        seen = hidden.mask > 0
        assert (hidden.mask[seen] == plain.mask[seen]).all()
        assert np.array_equal(seen, hidden.parts > 0) and np.array_equal(seen, hidden.instances > 0)


def test_silhouettes_are_darker_than_what_is_behind():
    for scene in draw(1640, 6, 64, domain="silhouette"):
        image = np.asarray(scene.image, float)
        assert image[scene.mask > 0].mean() < image[scene.mask == 0].mean() - 40
