"""`dinoclip curate --build-entries`: words and phrases to balance by."""

from __future__ import annotations

from argparse import Namespace

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.curate.sources import failures, open_sources

AT_ONCE = 8192  # captions


def build(arguments: Namespace) -> Answer:
    """How many entries were written, and of which kind.

    Raises:
        ValueError: no kind of entries is chosen, or one cannot be built.
    """
    from tqdm import tqdm

    from dinoclip_viz.curate import EntryBuilder, write_entries
    from dinoclip_viz.curate.entries import SUFFIXES, entries_hash, joined, read_titles, wordnet_entries
    from dinoclip_viz.curate.spool import SourceCounts, lines_of_sources

    if arguments.unigrams is arguments.bigrams is arguments.titles is None and not arguments.wordnet:
        raise ValueError("found no kind of entries; expected --unigrams, --bigrams, --titles or --wordnet")
    if arguments.bigram_count is not None and arguments.bigrams is None:
        raise ValueError("--bigram-count requires --bigrams; omit it, or add --bigrams PMI")
    if arguments.out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out is {arguments.out}; expected entries, a name in {' or '.join(SUFFIXES)}")
    kinds: dict[str, list[str]] = {}
    if arguments.titles is not None:
        kinds["titles"] = read_titles(arguments.titles, arguments.encoding)
    if arguments.wordnet:
        kinds["wordnet"] = wordnet_entries()
    builder, read = EntryBuilder(), SourceCounts()
    sources = [source for source, _ in open_sources(arguments)]
    with tqdm(unit=" captions", dynamic_ncols=True, delay=1) as bar:
        for lines in lines_of_sources(sources, read, AT_ONCE):
            builder.add((text for line in lines for text in line.captions), arguments.bigrams is not None)
            bar.update(builder.captions - bar.n)
    if arguments.unigrams is not None:
        kinds["unigrams"] = builder.unigrams(arguments.unigrams)
    if arguments.bigrams is not None:
        kinds["bigrams"] = builder.collocations(arguments.bigrams, arguments.bigram_count or 5)
    entries = joined(kinds.values())
    write_entries(arguments.out, entries)
    counts = {kind: len(found) for kind, found in kinds.items()}
    result = {
        "out": str(arguments.out), "entries": len(entries), **counts, "captions": builder.captions,
        "words": builder.total, "failed": read.failed, "entries_sha256": entries_hash(entries),
    }  # fmt: skip
    rows = [[kind, f"{count:,}"] for kind, count in counts.items()]
    rows.append(["entries", f"{len(entries):,}"])
    return Answer(result, f"{table(rows)}\nin {arguments.out}", failures(read), listed_as="failures")
