"""Each tab's figure over candidate first scenes, as a table: `python tests/benchmarks/first_scenes.py`.

The scenes that the app opens with (`dinoclip_viz.app.scenes`) were chosen from the upper half of each column, not
as its best (`map` among scenes of several classes). Seeds below 1000 were used for training, 1500, 1501 and 2000 to
2999 for selection and evaluation.

Columns, per scene of 192 px by the embedded models: `label`, probability that zero-shot classification gives to the
classes in the scene; `map`, mIoU of the default heat-map method over the scene's classes; `pca`, foreground IoU of
PatchPCA fitted on this and the next two scenes; `similar`, class accuracy of the nearest patch in the next scene, over
object patches whose class is in both; `tokens`, CLS attention on objects relative to their area; `classes` and `parts`,
mIoU of the linear probes; `depth`, RMSE in metres without the sky; `votes`, fraction of k-NN votes for the class of the
only object; `search`, fraction of the ten nearest gallery scenes that share a class. The last table holds pairs of
scenes with one object of the same class: fraction of matches on the same part.
"""

import argparse
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

from dinoclip_viz import playground
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.models import load_model
from dinoclip_viz.pipeline import embed
from dinoclip_viz.playground import CLASSES
from dinoclip_viz.playground.layout import FAR
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.correspondence.match import match_features
from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.head_files import heads_for
from dinoclip_viz.tasks.probes.knn import vote
from dinoclip_viz.tasks.retrieval import search
from dinoclip_viz.tasks.zero_shot.classify import classify

SIZE, GALLERY = 192, (4000, 200)
NAMES = ("label", "map", "pca", "similar", "tokens", "classes", "parts", "depth", "votes", "search")


def at_patches(labels, grid):
    """(H, W) labels at the centres of the patches."""
    step = labels.shape[0] // grid[0]
    return labels[step // 2 :: step, step // 2 :: step]


def similar(a, b, scenes):
    """Class accuracy of each object patch's nearest patch in the other scene, over classes in both; NaN without any."""
    labels = [
        torch.from_numpy(at_patches(scene.mask, each.grid).astype(np.int64))
        for scene, each in zip(scenes, (a, b), strict=False)
    ]
    one, other = (F.normalize(each.patches[0].flatten(0, 1), dim=-1) for each in (a, b))
    mine, theirs = (each.flatten() for each in labels)
    counted = (mine > 0) & torch.isin(mine, theirs[theirs > 0])
    nearest = theirs[(one @ other.T).argmax(dim=1)]
    return (nearest == mine)[counted].float().mean().item()


def parts_matched(a, b, scenes):
    """Fraction of the matches whose ends are on the same part."""
    found = match_features(a, b)
    ends = [
        scene.parts[points[:, 1].long().clamp(0, SIZE - 1), points[:, 0].long().clamp(0, SIZE - 1)]
        for scene, points in zip(scenes, (found.a, found.b), strict=False)
    ]
    return float((ends[0] == ends[1]).mean())


class Measure:
    """The embedded models, the gallery and the heads, loaded once."""

    def __init__(self, folder):
        self.model = load_model("playground")
        self.dino = self.model.guide or self.model.images
        self.heads = {name.rpartition("-")[2]: head for name, head in heads_for(self.dino.patch_space).items()}
        embed(PlaygroundSource(*GALLERY), self.model.images, folder)
        self.store = FeatureStore.open(folder)
        self.scenes = playground.draw(GALLERY[0], GALLERY[1], 16)
        self.labels = [None if label is None else str(label) for label in self.store.metadata["label"].to_pylist()]

    def features(self, scene):
        return self.dino.encode_each([scene.image])[0]

    def figures(self, scenes, features):
        """The figures of the first of three scenes."""
        scene, own = scenes[0], features[0]
        names = list(dict.fromkeys(each["name"] for each in scene.objects))
        known = torch.from_numpy(scene.mask).long()
        found = {
            "label": classify(self.model, [scene.image], list(CLASSES))[0][[CLASSES.index(n) for n in names]]
            .sum()
            .item()
        }
        maps = heatmap(self.model, scene.image, [f"a {name}" for name in names])
        target = torch.full_like(known, 255)
        for number, name in enumerate(names):
            target[known == CLASSES.index(name) + 1] = number
        found["map"] = Confusion(max(len(names), 2)).add(maps.argmax(0), target).miou
        fronts = PatchPCA(3).fit(features).foreground(features)
        inside = [torch.from_numpy(at_patches(each.mask, own.grid) > 0) for each in scenes]
        both = sum((front[0] & on).sum().item() for front, on in zip(fronts, inside, strict=False))
        found["pca"] = both / sum((front[0] | on).sum().item() for front, on in zip(fronts, inside, strict=False))
        found["similar"] = similar(own, features[1], scenes)
        attention = look_inside(self.dino, [scene.image], attention=True).attention[0, :, 0].mean(0)
        found["tokens"] = (attention[inside[0]].mean() / attention.mean()).item()
        for name, labels in (("classes", scene.mask), ("parts", scene.parts)):
            head = self.heads[name]
            found[name] = Confusion(head.names).add(head.predict(own)[0], torch.from_numpy(labels).long()).miou
        errors = DepthErrors(high=FAR - 1e-3).add(self.heads["depth"].predict(own)[0], torch.from_numpy(scene.depth))
        found["depth"] = errors.figures()["rmse"]
        query, vectors = search.image_queries(self.store, [scene.image], self.model.images)
        votes = vote(query, vectors, self.labels, 10)
        found["votes"] = votes.fractions.get(names[0], 0.0) if len(scene.objects) == 1 else float("nan")
        rows = search.search_images(self.store, [scene.image], self.model.images, 10)[1][0].tolist()
        holds = [{each["name"] for each in self.scenes[row].objects} for row in rows]
        found["search"] = sum(bool(set(names) & each) for each in holds) / 10
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--last", type=int, default=1100, help="(%(default)s)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(given.first, given.last + 3)
    scenes = {seed: playground.draw(seed, 1, SIZE)[0] for seed in seeds}
    with tempfile.TemporaryDirectory() as folder:
        measure = Measure(f"{folder}/store")
        features = {seed: measure.features(scene) for seed, scene in scenes.items()}
        rows = []
        print("seed   " + " ".join(f"{name:>7}" for name in NAMES) + "  objects")
        for seed in range(given.first, given.last + 1):
            three = [seed, seed + 1, seed + 2]
            found = measure.figures([scenes[each] for each in three], [features[each] for each in three])
            rows.append([found[name] for name in NAMES])
            objects = ", ".join(f"{each['colour']} {each['name']}" for each in scenes[seed].objects)
            print(f"{seed}   " + " ".join(f"{value:7.2f}" for value in rows[-1]) + f"  {objects}", flush=True)
        print("median " + " ".join(f"{value:7.2f}" for value in np.nanmedian(np.array(rows), axis=0)))
    alone = [seed for seed in seeds if len(scenes[seed].objects) == 1]
    for number, one in enumerate(alone):
        for other in alone[number + 1 :]:
            pair = [scenes[one], scenes[other]]
            if pair[0].objects[0]["name"] == pair[1].objects[0]["name"]:
                fraction = parts_matched(features[one], features[other], pair)
                print(f"{one} {other} {fraction:7.2f}  {pair[0].objects[0]['name']}")


if __name__ == "__main__":
    main()
