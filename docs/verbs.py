"""The directive `verbs`: the help of every command, from the parser itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive

from dinoclip_viz.cli.parser import build_parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all verbs below a parser, without those that only group others."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found = list(parsers(below))
                yield from found or [below]


class Verbs(Directive):
    """A section per command with its help."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        os.environ["COLUMNS"] = "100"
        sections: list[nodes.Node] = []
        for parser in parsers(build_parser()):
            name = nodes.make_id(parser.prog)
            section = nodes.section(ids=[name], names=[name])
            section += nodes.title(text=parser.prog)
            text = parser.format_help()
            section += nodes.literal_block(text, text, language="text")
            sections.append(section)
        return sections
