import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.encoders.base import SpaceError
from dinoclip_viz.models import load_model
from dinoclip_viz.pipeline import embed
from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.retrieval import search

COUNT = 30


@pytest.fixture(scope="module")
def model():
    return load_model("playground")


@pytest.fixture(scope="module")
def stores(tmp_path_factory, model):
    """The same scenes as the DINO and as the CLIP of the playground see them, in shards of 8."""
    folder = tmp_path_factory.mktemp("stores")
    embed(PlaygroundSource(2000, COUNT), [model.images, model.clip], folder, shard_size=8)
    return [FeatureStore.open(folder, name) for name in ("playground-dino", "playground-clip")]


def vectors(count, width, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def plain(queries, rows, k):
    """A plain loop: sorted by cosine, then by row."""
    every = F.normalize(queries.double(), dim=-1) @ F.normalize(rows.double(), dim=-1).T
    order = [sorted(range(len(rows)), key=lambda row: (-line[row], row))[:k] for line in every.float().tolist()]
    return every.float().gather(1, torch.tensor(order)), torch.tensor(order)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_nearest_is_what_a_plain_loop_finds(chunk):
    queries, rows = vectors(70, 6, seed=1), vectors(200, 6)
    scores, found = search.nearest(queries, rows, 9, chunk)
    wanted, order = plain(queries, rows, 9)
    assert torch.equal(found, order)
    torch.testing.assert_close(scores, wanted)


@pytest.mark.parametrize("chunk", [1, 3, 5, 16, 100])
def test_of_equal_images_the_lower_row_comes_first_whatever_the_chunk(chunk):
    rows = vectors(4, 5)[torch.arange(40) % 4]  # each vector ten times
    scores, found = search.nearest(vectors(3, 5, seed=2), rows, 12, chunk)
    assert torch.equal(found, plain(vectors(3, 5, seed=2), rows, 12)[1])
    assert (scores.diff(dim=1) <= 0).all()


def test_nearest_reads_arrays_of_any_type_and_gives_all_where_there_are_fewer():
    rows = vectors(5, 4).half().numpy()
    _, found = search.nearest(vectors(1, 4, seed=1), rows, 50)
    assert sorted(found[0].tolist()) == [0, 1, 2, 3, 4]


def test_memory_does_not_grow_with_the_store(tmp_path):
    np.save(tmp_path / "rows.npy", vectors(50_000, 64).half().numpy())
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    queries = vectors(4, 64, seed=1)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, called, types, args=(), kwargs=None):
            nonlocal largest
            made = called(*args, **(kwargs or {}))
            for one in made if isinstance(made, tuple | list) else [made]:
                largest = max(largest, one.nbytes if isinstance(one, torch.Tensor) else 0)
            return made

    with Watch():
        search.nearest(queries, rows[:2000], 10, chunk=1000)  # whatever is imported at first use is not counted
        tracemalloc.start()
        _, found = search.nearest(queries, rows, 10, chunk=1000)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one = 1000 * 64 * 8
    assert largest <= one and peak <= 4 * one  # the store in float64 is 50 times as much
    assert torch.equal(found, search.nearest(queries, rows, 10)[1])


@pytest.mark.parametrize(
    ("queries", "rows", "k", "chunk", "message"),
    [
        (vectors(1, 4), vectors(3, 4), 0, 8, "k is 0"),
        (vectors(1, 4), vectors(3, 4), 1, 0, "chunk is 0"),
        (vectors(1, 4), vectors(0, 4), 1, 8, "no vectors"),
        (vectors(1, 4), vectors(3, 5), 1, 8, r"\(1, 4\).*\(3, 5\)"),
        (vectors(4, 4)[0], vectors(3, 4), 1, 8, r"\(4,\)"),
        (vectors(1, 4), torch.tensor([[1.0] * 4, [float("nan")] * 4]), 1, 1, "row 1 .*NaN"),
        (torch.full((1, 4), float("inf")), vectors(3, 4), 1, 8, "queries has NaN"),
    ],
)
def test_what_cannot_be_searched_is_refused(queries, rows, k, chunk, message):
    with pytest.raises(ValueError, match=message):
        search.nearest(queries, rows, k, chunk)


def test_the_best_of_any_query_is_the_best_of_the_largest_cosines():
    queries, rows = vectors(6, 5, seed=1), vectors(90, 5)
    scores, found = search.best_of_any(*search.nearest(queries, rows, 8), 8)
    every = (F.normalize(queries, dim=-1) @ F.normalize(rows, dim=-1).T).amax(0)
    torch.testing.assert_close(scores, every.topk(8).values)
    assert torch.equal(found, every.topk(8).indices)


def test_what_was_not_found_is_left_out():
    scores, rows = search.best_of_any(torch.tensor([[0.5, -torch.inf]]), torch.tensor([[4, -1]]), 2)
    assert (scores.tolist(), rows.tolist()) == ([0.5], [4])


def test_a_dino_store_is_carried_by_the_projector(stores, model):
    dino, _ = stores
    rows = search.carried(dino, model)
    features = model.encode_images([sample.load() for sample in PlaygroundSource(2000, 3).samples()], methods=())
    assert rows.shape == (COUNT, 128)
    close = F.cosine_similarity(rows[0:3].float(), features.pooled)
    assert (close > 0.999).all()  # the store keeps float16


def test_a_projector_of_texts_leaves_images_as_they_are(stores, model):
    dino, _ = stores
    names = {"image_encoder": "a", "text_encoder": "b", "image_space": dino.patch_space, "text_space": "b"}
    for inputs, rows in (("mean", dino.mean), ("pooled", dino.pooled)):
        projector = Projector(**names, width=128, outputs=128, inputs=inputs, side="text")
        compared = search.carried(dino, replace(model, projector=projector))
        assert torch.equal(compared[2:9], torch.from_numpy(rows[2:9].astype(np.float64)))


def test_a_store_without_the_mean_that_a_projector_reads_is_refused(stores, model):
    with pytest.raises(ValueError, match="has no `mean`"):
        search.carried(replace(stores[0], mean=None), model)


def test_a_store_in_the_models_space_stays_as_it_is(stores, model):
    _, clip = stores
    assert search.carried(clip, model) is clip.pooled
    assert search.carried(clip, load_model("playground-clip")) is clip.pooled


def test_a_store_of_another_space_is_refused(stores):
    dino, _ = stores
    clip = load_model("playground-clip")
    with pytest.raises(SpaceError, match="project one"):
        search.search_texts(dino, ["a cat"], clip)
    with pytest.raises(SpaceError, match="project one"):
        search.search_images(dino, [PlaygroundSource(1, 1).samples().__next__().load()], clip.images)


def test_words_find_what_they_describe(stores, model):
    """The caption of a scene finds it among the first five of thirty more often than not."""
    for store in stores:
        captions = store.metadata["caption"].to_pylist()
        scores, rows = search.search_texts(store, captions, model, 5)
        assert scores.shape == rows.shape == (COUNT, 5)
        found = (rows == torch.arange(COUNT)[:, None]).any(1).float().mean().item()
        assert found > 0.6  # by luck 0.17


def test_an_image_finds_itself(stores, model):
    images = [sample.load() for sample in PlaygroundSource(2000, 4).samples()]
    for store, by in ((stores[0], model.images), (stores[0], model), (stores[1], model.clip)):
        scores, rows = search.search_images(store, images, by, 2)
        assert rows[:, 0].tolist() == [0, 1, 2, 3]
        assert (scores[:, 0] > 0.99).all()


def test_like_ranks_by_the_closest_example(stores):
    dino, _ = stores
    examples = torch.from_numpy(np.asarray(dino.pooled[[4, 17]], np.float32))
    scores, rows = search.search_like(dino, examples, COUNT)
    assert sorted(rows[:2].tolist()) == [4, 17]
    assert sorted(rows.tolist()) == list(range(COUNT))
    assert (scores.diff() <= 0).all()


def test_hits_carry_the_metadata(stores):
    dino, _ = stores
    found = search.hits(dino, torch.tensor([0.5, 0.25, -torch.inf]), torch.tensor([7, 3, -1]))
    assert [(hit.rank, hit.row, hit.key, hit.score) for hit in found] == [
        (1, 7, "2000-000007", 0.5),
        (2, 3, "2000-000003", 0.25),
    ]
    assert found[0].caption == dino.metadata["caption"].to_pylist()[7]
    assert search.hits(dino, torch.empty(0), torch.empty(0, dtype=torch.int64)) == []


@pytest.mark.parametrize("texts", [[], [""], ["a cat", "  "]])
def test_an_empty_text_is_refused(stores, model, texts):
    with pytest.raises(ValueError, match="text is empty"):
        search.search_texts(stores[0], texts, model)
