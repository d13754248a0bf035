"""`dinoclip evaluate linear`: linear classification of frozen features."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, output_file
from dinoclip_viz.cli.probes.knn import about, add_shots, curve, curves_text, percent, sizes
from dinoclip_viz.cli.probes.vector_inputs import add_labelled_arguments, chosen_encoders, labelled_pairs

SUMMARY = "measure linear classification on frozen features"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_labelled_arguments(parser)
    parser.add_argument("--features", choices=("pooled", "mean", "pooled+mean"), default="pooled", help="(%(default)s)")
    parser.add_argument("--save", type=output_file, metavar="FILE", help="write the fitted probe; for one --encoder")
    add_shots(parser)
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Accuracy of each encoder's linear probe, the C chosen on held-out images of the gallery."""
    from dinoclip_viz.tasks.probes.linear import LinearProbe

    if arguments.shots and arguments.features == "pooled+mean":
        raise ValueError("--shots compares vectors of one kind; expected --features pooled or mean")
    encoders = chosen_encoders(arguments.encoder, [arguments.gallery, arguments.queries])
    if arguments.save and len(encoders) > 1:
        raise ValueError(f"--save writes one probe, but {len(encoders)} encoders are measured; name one by --encoder")
    pairs, failed = labelled_pairs(arguments)
    results = []
    for known, asked in pairs:
        probe = LinearProbe(arguments.features).fit(known, known.labels)
        share = probe.score(asked, asked.labels)
        held_out = {f"{c:g}": accuracy for c, accuracy in probe.held_out_.items()}
        row: dict[str, object] = {**about(known, asked), "features": arguments.features}
        row |= {"accuracy": share, "c": probe.c_, "held_out": held_out}
        if arguments.shots:
            row["low_shot"] = curve(known, asked, arguments.features, arguments.shots, ("linear",))
        if arguments.save:
            probe.figures = {"accuracy": share, "queries": len(asked.labels)}
            probe.save(arguments.save)
        results.append(row)
    rows = [["encoder", "accuracy", "C", "held-out accuracy"]]
    for row, (known, _) in zip(results, pairs, strict=True):
        held = row["held_out"]
        best = held[f"{row['c']:g}"] if isinstance(held, dict) else None
        rows.append([known.encoder, percent(row["accuracy"]), f"{row['c']:g}", percent(best)])
    head = f"accuracy of a linear probe, %; {sizes(pairs)}"
    text = [head, table(rows), *curves_text(results)]
    text += [f"wrote {arguments.save}"] if arguments.save else []
    return Answer({"results": results}, "\n".join(text), failed)
