import base64
import json

import numpy as np
import pytest

from dinoclip_viz.viz.colours import colour_table
from dinoclip_viz.viz.palette import class_palette
from dinoclip_viz.viz.scatter import scatter_payload

PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\nrest", b"\xff\xd8\xffrest", b"RIFF\x00\x00\x00\x00WEBPrest"
POINTS = np.array([[0.0, 1.0], [2.5, -3.0], [4.0, 5.0]])


def made(*given, **named):
    return json.loads(scatter_payload(*given, **named))


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def css(colour):
    return "#{:02x}{:02x}{:02x}".format(*colour)


def test_points_arrive_as_they_are():
    payload = made(POINTS)
    assert payload["count"] == 3
    np.testing.assert_array_equal(numbers(payload["points"], "<f4").reshape(3, 2), POINTS.astype(np.float32))
    assert payload["groups"] is payload["values"] is payload["titles"] is payload["thumbnails"] is None


def test_labels_become_groups_by_name_with_the_palette_and_grey_for_none():
    payload = made(POINTS, labels=["dog", None, "cat"])
    assert payload["names"] == ["cat", "dog", "no label"]
    assert numbers(payload["groups"], "<u2").tolist() == [1, 2, 0]
    assert payload["colours"][:2] == [css(colour) for colour in class_palette(2)]
    assert made(POINTS, labels=["", "", ""])["names"] == ["no label"]


def test_many_labels_keep_the_most_frequent_and_join_the_others():
    labels = [f"c{number:03d}" for number in range(100) for _ in range(100 - number)]
    generator = np.random.default_rng(0)
    labels = [labels[row] for row in generator.permutation(len(labels))] + [None]
    payload = made(np.zeros((len(labels), 2)), labels=labels)
    names = [*(f"c{number:03d}" for number in range(63)), "others", "no label"]
    assert payload["names"] == names and len(payload["colours"]) == len(set(payload["colours"])) == 65
    expected = [label if label in names else "others" if label else "no label" for label in labels]
    assert [names[group] for group in numbers(payload["groups"], "<u2")] == expected


def test_sixty_four_labels_all_keep_their_name():
    labels = [f"c{number:02d}" for number in range(64)]
    assert made(np.zeros((64, 2)), labels=labels)["names"] == labels


def test_values_have_their_range_and_a_uniform_scale():
    payload = made(POINTS, values=[0.5, np.nan, -1.0], value_name="cosine")
    found = numbers(payload["values"], "<f4")
    assert found[0] == 0.5 and np.isnan(found[1]) and found[2] == -1.0
    assert (payload["low"], payload["high"], payload["valueName"]) == (-1.0, 0.5, "cosine")
    table = colour_table("viridis")
    assert payload["scale"][0] == css(table[0]) and payload["scale"][-1] == css(table[-1])
    assert len(payload["scale"]) == 32


def test_values_that_are_all_unknown_still_have_a_range():
    payload = made(POINTS, values=[np.nan] * 3)
    assert payload["low"] < payload["high"]


def test_thumbnails_become_addresses_of_their_kind():
    found = made(np.zeros((4, 2)), thumbnails=[PNG, JPEG, WEBP, b""])["thumbnails"]
    assert [each.partition(";")[0] for each in found] == ["data:image/png", "data:image/jpeg", "data:image/webp", ""]
    assert base64.b64decode(found[1].partition(",")[2]) == JPEG


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"points": np.zeros((0, 2))}, r"points have shape \(0, 2\); expected \(N, 2\)"),
        ({"points": np.zeros((3, 3))}, r"shape \(3, 3\)"),
        ({"points": [[1.0, np.nan], [0.0, 0.0], [np.inf, 1.0]]}, "2 points are NaN or infinite, point 0 first"),
        ({"points": [["a", "b"]]}, "expected numbers"),
        ({"labels": ["cat"]}, "found 1 labels for 3 points; expected one per point"),
        ({"labels": "cat"}, "found 3 labels for 3 points"),
        ({"titles": ["a", "b"]}, "found 2 titles for 3 points"),
        ({"thumbnails": [PNG, JPEG, b"GIF89a"]}, "thumbnail 2 begins with b'GIF89a'; expected a PNG, JPEG or WebP"),
        ({"thumbnails": [PNG, JPEG, b"RIFF\x00\x00\x00\x00WAVE"]}, "thumbnail 2"),
        ({"values": [1.0, 2.0]}, r"values have shape \(2,\)"),
        ({"values": [1.0, np.inf, 2.0]}, "some values are infinite"),
    ],
)
def test_wrong_input_is_told_in_one_line(given, words):
    with pytest.raises(ValueError, match=words) as caught:
        scatter_payload(**{"points": POINTS, **given})
    assert "\n" not in str(caught.value)


def test_points_shrink_when_there_are_many():
    sizes = [made(np.zeros((count, 2)))["size"] for count in (10, 5_000, 20_000, 40_000)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
