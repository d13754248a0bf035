import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import dinoclip_viz as dv
from dinoclip_viz.curate import pick_per_concept
from dinoclip_viz.curate.coverage import Wanted, cover_sources, cover_store
from dinoclip_viz.curate.prototypes import Prototypes, check_names, read_prototypes
from dinoclip_viz.data import open_source
from dinoclip_viz.data.captions.selection import Reference
from dinoclip_viz.encoders import SpaceError
from dinoclip_viz.store import StoreError
from dinoclip_viz.tasks.zero_shot.classify import label_vectors

LABELS = ["cat", "dog", "car"]


def plain_picks(scores, per_concept, queue):
    """Concept -> rows, from (C, N) scores."""
    ranked = [sorted(range(len(row)), key=lambda pair: (-row[pair], pair))[:queue] for row in scores]
    levels = [row[best[min(per_concept, len(best)) - 1]] for row, best in zip(scores, ranked, strict=True)]
    taken, picks = set(), [[]] * len(scores)
    for concept in sorted(range(len(scores)), key=lambda number: (levels[number], number)):
        picks[concept] = [pair for pair in ranked[concept] if pair not in taken][:per_concept]
        taken.update(picks[concept])
    return picks


EXACT = [(1, 0, 0, 0), (0, 0, 3, 0), (1, 1, 1, 1), (2, 2, -2, -2), (1, -1, 1, -1), (0, -1, 0, 0)]
"""Vectors whose normalised components are 0, 1/2 or 1: every cosine is exact, in whatever order it is summed."""


@settings(max_examples=100, deadline=None)
@given(
    pairs=st.lists(st.sampled_from(EXACT), min_size=1, max_size=40),
    prototypes=st.lists(st.sampled_from(EXACT), min_size=1, max_size=4),
    per_concept=st.integers(1, 6),
    extra=st.integers(0, 10),
    block=st.integers(1, 40),
)
def test_picks_are_those_of_a_plain_loop_with_ties(pairs, prototypes, per_concept, extra, block):
    vectors, concepts = np.array(pairs, np.float32), np.array(prototypes, np.float32)
    blocks = (vectors[start : start + block] for start in range(0, len(vectors), block))
    found = pick_per_concept(blocks, concepts, per_concept, per_concept + extra)
    units = [np.float32(part / np.linalg.norm(part, axis=1, keepdims=True)) for part in (vectors, concepts)]
    scores = (units[1] @ units[0].T).tolist()
    assert [rows.tolist() for rows in found.rows] == plain_picks(scores, per_concept, per_concept + extra)
    assert found.pairs == len(pairs)


def test_no_pair_is_taken_twice_and_the_scarcest_concept_chooses_first():
    chance = np.random.default_rng(0)
    vectors, concepts = chance.standard_normal((500, 8)), chance.standard_normal((5, 8))
    vectors[:300] += 3 * concepts[4]
    found = pick_per_concept(np.array_split(vectors, 7), concepts, 60)
    assert [len(rows) for rows in found.rows] == [60] * 5
    assert len(set(found.kept.tolist())) == len(found.kept) == 300
    assert found.order[-1] == 4
    for rows, scores, concept in zip(found.rows, found.scores, concepts, strict=True):
        cosines = vectors[rows] @ concept / np.linalg.norm(vectors[rows], axis=1) / np.linalg.norm(concept)
        np.testing.assert_allclose(scores, cosines, atol=1e-5)
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"per_concept": 0}, "per_concept is 0"),
        ({"queue": 1}, "the queue is 1"),
        ({"blocks": []}, "found no pairs"),
        ({"blocks": [np.ones((2, 3))]}, r"pairs of shape \(2, 3\), prototypes of 2 dimensions"),
        ({"blocks": [np.ones((2, 2)), np.zeros((1, 2))]}, "pair 2 is zero or not finite"),
        ({"prototypes": np.zeros((0, 2))}, r"prototypes of shape \(0, 2\)"),
        ({"prototypes": np.array([[1, np.nan]])}, "prototype 0 is zero or not finite"),
    ],
)
def test_bad_input_is_named(changes, line):
    with pytest.raises(ValueError, match=line):
        pick_per_concept(**{"blocks": [np.ones((3, 2))], "prototypes": np.ones((1, 2)), "per_concept": 2, **changes})


@pytest.fixture(scope="module")
def clip():
    return dv.load_text_encoder("playground-clip")


@pytest.fixture(scope="module")
def prototypes(clip):
    return Prototypes(label_vectors(clip, LABELS).numpy(), tuple(LABELS), clip.space)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    dv.embed("playground:2000:60:48", ["playground-clip"], folder / "clip", texts="playground-clip")
    dv.embed("playground:2000:6:48", ["playground-dino"], folder / "dino")
    return folder


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_captions_of_a_store_and_of_its_source_give_the_same_list(tmp_path, store, clip, prototypes):
    kept = dv.FeatureStore.open(store / "clip")
    ours = cover_store(kept, prototypes, Wanted(4), tmp_path / "store.jsonl")
    source = "playground:2000:60:48"
    theirs = cover_sources(
        [(open_source(source), Reference.to(source))], clip, prototypes, Wanted(4), tmp_path / "source.jsonl"
    )
    assert [part.tolist() for part in ours.picks.rows] == [part.tolist() for part in theirs.picks.rows]
    chosen = [
        [(row["key"], row["captions"]) for row in rows(tmp_path / f"{name}.jsonl")] for name in ("store", "source")
    ]
    assert chosen[0] == chosen[1] and chosen[0]
    texts = kept.captions()
    picked = sorted(texts[row] for row in ours.picks.kept.tolist())
    assert sorted(text for row in rows(tmp_path / "store.jsonl") for text in row["captions"]) == picked
    assert all("car" in texts[row].split() for row in ours.picks.rows[LABELS.index("car")].tolist())
    assert ours.numbers()["kept"] == 12 and ours.numbers()["concepts_short"] == 0


def test_the_list_of_a_store_opens_with_its_images(tmp_path, store, prototypes):
    kept = dv.FeatureStore.open(store / "clip")
    cover_store(kept, prototypes, Wanted(3), tmp_path / "list.jsonl", "images")
    originals = {sample.key: sample for sample in open_source("playground:2000:60:48").samples()}
    listed = list(open_source(tmp_path / "list.jsonl").samples())
    assert len(listed) == 9
    for sample in listed:
        assert sample.captions == originals[sample.key].captions
        assert np.array_equal(np.asarray(sample.load()), np.asarray(originals[sample.key].load()))


def test_spaces_and_dimensions_are_checked(tmp_path, store, prototypes):
    kept, dino = dv.FeatureStore.open(store / "clip"), dv.FeatureStore.open(store / "dino")
    with pytest.raises(SpaceError, match="expected one space"):
        cover_store(dino, prototypes, Wanted(2), tmp_path / "list.jsonl", "images")
    with pytest.raises(StoreError, match="has no captions"):
        cover_store(dino, prototypes, Wanted(2), tmp_path / "list.jsonl")
    with pytest.raises(ValueError, match="the prototypes have 3 dimensions"):
        cover_store(kept, Prototypes(np.ones((1, 3), np.float32), ("one",)), Wanted(2), tmp_path / "list.jsonl")
    with pytest.raises(ValueError, match="vectors is 'both'; expected captions or images"):
        cover_store(kept, prototypes, Wanted(2), tmp_path / "list.jsonl", "both")
    assert list(tmp_path.iterdir()) == []


def test_prototypes_are_read_from_arrays_and_tensors(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", vectors)
    save_file({"prototypes": vectors}, tmp_path / "b.safetensors", {"space": "clip", "names": json.dumps(LABELS)})
    plain, named = read_prototypes(tmp_path / "a.npy"), read_prototypes(tmp_path / "b.safetensors")
    assert plain.names == ("concept 0", "concept 1", "concept 2") and plain.space == ""
    assert named.names == tuple(LABELS) and named.space == "clip"
    assert np.array_equal(plain.vectors, vectors) and np.array_equal(named.vectors, vectors)


def test_files_that_are_no_prototypes_are_named(tmp_path):
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.save(tmp_path / "whole.npy", np.ones((2, 3), int))
    (tmp_path / "text.npy").write_text("no array")
    save_file({"a": np.ones((1, 2)), "b": np.ones((1, 2))}, tmp_path / "two.safetensors")
    save_file({"a": np.ones((2, 2))}, tmp_path / "names.safetensors", {"names": '["one"]'})
    for name, line in {
        "flat.npy": r"shape \(3,\)",
        "whole.npy": "int64",
        "text.npy": "no prototypes",
        "none.npy": "no prototypes",
        "two.safetensors": "2 tensors",
        "names.safetensors": "no list of 2",
    }.items():
        with pytest.raises(ValueError, match=line) as error:
            read_prototypes(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="found no concepts"):
        check_names([" ", ""])
