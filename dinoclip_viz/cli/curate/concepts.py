"""`dinoclip curate --by concepts`: the pairs nearest to each class prototype, as many per class."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.curate.sources import failures, open_sources, write_text
from dinoclip_viz.cli.loading import text_encoder_of

if TYPE_CHECKING:
    from dinoclip_viz.curate.coverage import CoverageReport, Wanted
    from dinoclip_viz.curate.prototypes import Prototypes
    from dinoclip_viz.encoders.base import TextEncoder
    from dinoclip_viz.store import FeatureStore

MODEL = "playground-clip"
SHOWN = 10  # concepts in the text for people


def cover(arguments: Namespace) -> Answer:
    """How many pairs each concept took.

    Raises:
        ValueError: prototypes or their number are missing, or as in `cover_store` and `cover_sources`.
    """
    from dinoclip_viz.curate.coverage import Wanted

    if arguments.prototypes is None or arguments.per_concept is None:
        missing = "--prototypes" if arguments.prototypes is None else "--per-concept"
        raise ValueError(f"found no {missing}; expected --prototypes FILE|LABELS and --per-concept N")
    wanted = Wanted(arguments.per_concept, arguments.queue)
    stores = [path for path in arguments.captions if _is_store(path)]
    if stores and len(arguments.captions) > 1:
        raise ValueError(f"{stores[0]} is a store next to other sources; expected one store, or sources alone")
    report = _of_store(arguments, wanted) if stores else _of_sources(arguments, wanted)
    result = {"out": str(arguments.out), **report.numbers()}
    if arguments.report:
        write_text(arguments.report / "report.json", json.dumps(result, indent=1) + "\n")
        result["report"] = str(arguments.report)
    return Answer(result, _text(report, arguments.out), failures(report.read), listed_as="failures")


def _of_store(arguments: Namespace, wanted: Wanted) -> CoverageReport:
    from dinoclip_viz.cli.retrieval.search import open_store
    from dinoclip_viz.curate.coverage import cover_store

    for option in ("split", "images"):
        if getattr(arguments, option) is not None:
            raise ValueError(f"--{option} is for sources; {arguments.captions[0]} is a store: omit it")
    store = open_store(arguments.captions[0], arguments.encoder)
    vectors = arguments.vectors or "captions"
    return cover_store(store, _prototypes(arguments, store, vectors), wanted, arguments.out, vectors)


def _of_sources(arguments: Namespace, wanted: Wanted) -> CoverageReport:
    from tqdm import tqdm

    from dinoclip_viz.curate.coverage import cover_sources

    if arguments.encoder is not None or arguments.vectors == "images":
        option = "--encoder" if arguments.encoder is not None else "--vectors images"
        raise ValueError(f"{option} is for a store; {arguments.captions[0]} is none: omit it, or embed the source")
    sources = open_sources(arguments)
    texts = text_encoder_of(arguments, arguments.texts or MODEL)
    prototypes = _prototypes(arguments, None, "captions", texts)
    with tqdm(unit=" captions", dynamic_ncols=True, delay=1) as bar:
        return cover_sources(sources, texts, prototypes, wanted, arguments.out, bar.update)


def _prototypes(
    arguments: Namespace, store: FeatureStore | None, vectors: str, texts: TextEncoder | None = None
) -> Prototypes:
    """The prototypes in a file, or of labels by the text model of the vectors that they are compared with."""
    from dinoclip_viz.curate.prototypes import SUFFIXES, Prototypes, check_names, read_prototypes
    from dinoclip_viz.tasks.zero_shot.class_lists import LISTS, class_list
    from dinoclip_viz.tasks.zero_shot.classify import label_vectors

    given = str(arguments.prototypes)
    if Path(given).suffix.lower() in SUFFIXES:
        if arguments.template or (store is not None and arguments.texts):
            option = "--template" if arguments.template else "--texts"
            raise ValueError(f"{option} is for labels; {given} holds vectors: omit it")
        return read_prototypes(given)
    listed = given in LISTS or Path(given).expanduser().is_file() or given.endswith(".txt")
    names = check_names(class_list(given).names if listed else given.split(","))
    if texts is None and store is not None:
        own = store.settings.texts if vectors == "captions" else store.settings.encoder
        texts = text_encoder_of(arguments, arguments.texts or own or MODEL)
    if texts is None:
        raise ValueError(f"labels {given!r} require a text model; name one with --texts")
    return Prototypes(label_vectors(texts, names, arguments.template).numpy(), names, texts.space)


def _is_store(path: str) -> bool:
    from dinoclip_viz.store import store_folders

    folder = Path(path).expanduser()
    return (folder / "img_emb").is_dir() or bool(store_folders(folder))


def _text(report: CoverageReport, out: Path) -> str:
    numbers = report.numbers()
    rows = [["concept", "pairs", "lowest cosine"]]
    rows += [
        [report.names[number], str(len(report.picks.rows[number])), f"{report.picks.scores[number].min(initial=1):.3f}"]
        for number in report.picks.order[:SHOWN]
    ]
    more = f"\nand {len(report.names) - SHOWN} more concepts" if len(report.names) > SHOWN else ""
    short = f"; {numbers['concepts_short']} concepts have fewer" if numbers["concepts_short"] else ""
    return (
        f"{table(rows)}{more}\n{numbers['kept']} of {report.picks.pairs} pairs, {report.wanted.per_concept} per "
        f"concept{short}; {report.kept_samples} images in {out}"
    )
