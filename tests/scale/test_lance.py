"""The index on disk against the exact search."""

import pytest
import torch
import torch.nn.functional as F

import dinoclip_viz as dv
from dinoclip_viz.cli import main

pytest.importorskip("lancedb")
pytestmark = [pytest.mark.scale, pytest.mark.timeout(240)]


def clustered(rows, width, seed=0):
    chance = torch.Generator().manual_seed(seed)
    centres = torch.randn(100, width, generator=chance)
    return centres[torch.randint(100, (rows,), generator=chance)] + 0.7 * torch.randn(rows, width, generator=chance)


def test_few_vectors_are_searched_exactly(tmp_path):
    from dinoclip_viz.scale import LanceIndex
    from dinoclip_viz.tasks.retrieval.search import nearest

    vectors, queries = clustered(400, 24), clustered(9, 24, seed=1)
    index = LanceIndex.build(tmp_path / "index", vectors)
    scores, rows = index.search(queries, 5)
    expected, numbers = nearest(queries, vectors, 5)
    assert torch.equal(rows, numbers)
    torch.testing.assert_close(scores, expected.float(), atol=1e-5, rtol=0)
    assert (index.recall, len(index), index.width) == (1.0, 400, 24)
    assert index.search(queries, 900)[1].shape == (9, 400)


def test_many_vectors_are_found_by_their_codes(tmp_path):
    from dinoclip_viz.scale import LanceIndex
    from dinoclip_viz.tasks.retrieval.approximate import recall_against_exact

    vectors, queries = clustered(20_000, 64), clustered(50, 64, seed=2)
    seen = []
    index = LanceIndex.open_or_build(tmp_path, vectors, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20_000, 20_000)
    assert index.recall >= 0.95
    assert recall_against_exact(index, vectors, queries, 10) >= 0.95
    scores, rows = index.search(queries, 10)
    exact = (F.normalize(queries, dim=-1)[:, None] * F.normalize(vectors[rows], dim=-1)).sum(-1)
    torch.testing.assert_close(scores, exact, atol=1e-4, rtol=0)
    assert bool((scores[:, :-1] >= scores[:, 1:]).all())


def test_an_index_is_built_once_and_again_for_other_vectors(tmp_path):
    from dinoclip_viz.scale import LanceIndex

    vectors, built = clustered(50, 8), []
    for given in (vectors, vectors.clone(), vectors + 1):
        LanceIndex.open_or_build(tmp_path, given, lambda *_: built.append(1))
    assert len(built) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_are_one_line(tmp_path):
    from dinoclip_viz.scale import LanceIndex, ScaleError

    with pytest.raises(ScaleError, match="holds no index; build it again"):
        LanceIndex(tmp_path)
    index = LanceIndex.build(tmp_path / "index", clustered(30, 8))
    with pytest.raises(ValueError, match=r"queries have shape \(1, 9\); expected \(Q, 8\), all finite"):
        index.search(torch.zeros(1, 9), 3)
    with pytest.raises(ValueError, match="k is 0; expected 1 or more"):
        index.search(torch.zeros(1, 8), 0)


def test_the_command_searches_a_store_by_its_index(tmp_path, capsys):
    dv.embed("playground:2730:30", "playground-clip", tmp_path / "store")
    words = ["search", str(tmp_path / "store"), "--text", "a red car", "-k", "5", "--json"]
    assert main(words) == 0
    exact = capsys.readouterr().out
    assert main([*words, "--index", "lance"]) == 0
    by_index = capsys.readouterr().out
    assert '"recall": 1.0' in by_index
    keys = [line for line in exact.split(",") if '"key"' in line]
    assert keys == [line for line in by_index.split(",") if '"key"' in line]
