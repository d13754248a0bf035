import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.tasks.retrieval.duplicates import DuplicateGroup, near_duplicates


def noisy(kinds, count, noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(kinds, 16, generator=generator)
    return centres[torch.arange(count) % kinds] + noise * torch.randn(count, 16, generator=generator)


def plain(vectors, above):
    """Components by a plain flood fill."""
    unit = F.normalize(vectors.double(), dim=-1)
    close = ((unit @ unit.T).float() > above).tolist()
    left, groups = set(range(len(vectors))), []
    while left:
        group, waiting = set(), [min(left)]
        while waiting:
            row = waiting.pop()
            if row not in group:
                group.add(row)
                waiting += [other for other, near in enumerate(close[row]) if near and other in left - group]
        left -= group
        groups.append(sorted(group))
    return [group for group in groups if len(group) > 1]


@pytest.mark.parametrize("chunk", [1, 3, 16, 64, 500])
@pytest.mark.parametrize(("noise", "above"), [(0.1, 0.95), (0.6, 0.7), (1.0, 0.5), (0.0, 0.999)])
def test_groups_are_the_connected_components_whatever_the_chunk(chunk, noise, above):
    vectors = noisy(9, 60, noise)
    found = near_duplicates(vectors, above, chunk)
    assert [[group.keep, *(row for row, _ in group.duplicates)] for group in found] == plain(vectors, above)
    assert found == near_duplicates(vectors, above)


def test_the_lowest_row_is_kept_and_the_others_are_measured_against_it():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    found = near_duplicates(torch.stack([b, a, 3 * a, b + 0.1 * a]), 0.9)
    assert [group.keep for group in found] == [0, 1]
    assert found[1].duplicates == ((2, 1.0),)
    assert found[0].duplicates[0][1] == pytest.approx(1 / 1.01**0.5)


def test_a_chain_is_one_group_though_its_ends_are_apart():
    angles = torch.tensor([0.0, 0.4, 0.8])
    vectors = torch.stack([angles.cos(), angles.sin()], 1)
    (group,) = near_duplicates(vectors, 0.9, chunk=1)
    assert [row for row, _ in group.duplicates] == [1, 2]
    assert group.duplicates[1][1] == pytest.approx(np.cos(0.8)) and group.duplicates[1][1] < 0.9


def test_many_copies_of_one_image_are_one_group():
    found = near_duplicates(torch.ones(3000, 4), 0.99, chunk=1024)
    assert len(found) == 1 and found[0].keep == 0 and len(found[0].duplicates) == 2999


def test_without_duplicates_there_are_no_groups():
    assert near_duplicates(torch.eye(6), 0.5) == []
    assert near_duplicates(np.empty((0, 4), np.float16), 0.5) == []
    assert near_duplicates(np.eye(2, dtype=np.float16)[[0, 1, 0]], 0.5) == [DuplicateGroup(0, ((2, 1.0),))]


def test_no_more_than_a_chunk_is_read_at_once():
    class Watched:
        shape = (100, 16)
        rows, most = noisy(5, 100, 0.1), 0

        def __getitem__(self, rows):
            Watched.most = max(Watched.most, len(self.rows[rows]))
            return self.rows[rows]

    assert near_duplicates(Watched(), 0.95, chunk=8) == near_duplicates(Watched.rows, 0.95)
    assert Watched.most == 8


@pytest.mark.parametrize(
    ("above", "chunk", "message"), [(1.0, 8, "above is 1.0"), (-2, 8, "above"), (0.9, 0, "chunk is 0")]
)
def test_what_cannot_be_used_is_told(above, chunk, message):
    with pytest.raises(ValueError, match=message):
        near_duplicates(torch.eye(3), above, chunk)


def test_vectors_that_are_not_finite_are_told():
    with pytest.raises(ValueError, match=r"row 2 .*NaN"):
        near_duplicates(torch.tensor([[1.0], [1.0], [torch.nan]]), 0.5)
