import threading
import time

import pytest
import torch

from dinoclip_viz.app.cache import Cache, FeatureCache, Shelf
from dinoclip_viz.encoders.base import ImageFeatures


def features(fill=0.0, side=4):
    grid = torch.full((1, side, side, 8), fill)
    rows = torch.zeros(1, 8)
    return ImageFeatures(rows, rows, grid, torch.zeros(1, 4), torch.zeros(1, 2), space="test")


def test_features_are_computed_once():
    cache, calls = FeatureCache(), []
    first = cache.get("a", lambda: calls.append(1) or features())
    assert cache.get("a", lambda: calls.append(1) or features()) is first
    assert (len(calls), cache.hits, cache.misses) == (1, 1, 1)


def test_the_least_recently_used_goes_first():
    one = features().nbytes
    cache = FeatureCache(2 * one)
    for key in ("a", "b", "a", "c"):
        cache.get(key, features)
    assert (len(cache), cache.nbytes) == (2, 2 * one)
    misses = cache.misses
    cache.get("a", features)
    assert cache.misses == misses
    cache.get("b", features)
    assert cache.misses == misses + 1


def test_features_larger_than_the_cache_are_not_kept():
    cache = FeatureCache(10)
    assert cache.get("a", features).grid == (4, 4)
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_failure_keeps_nothing_and_may_be_tried_again():
    cache = FeatureCache()
    with pytest.raises(ValueError, match="broken"):
        cache.get("a", lambda: (_ for _ in ()).throw(ValueError("broken")))
    assert cache.get("a", features).space == "test"


def test_threads_that_ask_at_once_share_one_computation():
    cache, calls = FeatureCache(), []

    def slow():
        calls.append(1)
        time.sleep(0.05)
        return features()

    threads = [threading.Thread(target=cache.get, args=("a", slow)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="-1"):
        FeatureCache(-1)


def test_a_shelf_drops_the_oldest_and_knows_no_strangers():
    shelf = Shelf(2)
    ids = [shelf.put(index) for index in range(3)]
    assert [shelf.get(each) for each in ids] == [None, 1, 2]
    assert shelf.get("stranger") is None
    assert shelf.get(None) is None


def test_a_cache_holds_at_most_so_many_values():
    cache = FeatureCache(most=2)
    for key in "abc":
        cache.get(key, features)
    assert len(cache) == 2 and cache.nbytes == 2 * features().nbytes


def test_threads_share_a_value_that_is_too_large_to_be_kept():
    cache, calls = Cache(limit=1, size=len), []

    def slow():
        calls.append(1)
        time.sleep(0.1)
        return "large"

    results = []
    threads = [threading.Thread(target=lambda: results.append(cache.get("a", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["large"] * 8 and len(calls) == 1 and len(cache) == 0


def test_a_value_that_is_no_longer_valid_is_replaced():
    cache = Cache(limit=100, size=len)
    assert [cache.get("a", lambda value=value: value, lambda kept: kept != "old") for value in ("old", "new")] == [
        *("old", "new")
    ]
    assert cache.get("a", lambda: "third", lambda kept: kept != "old") == "new"
    assert (cache.nbytes, cache.hits, cache.misses) == (3, 1, 2)
