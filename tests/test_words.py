"""One term per concept: terms that documentation, help, errors and labels do not use, each with its replacement.

Checked are the Markdown files, the notebooks' text and comments, and in the package every docstring, comment and error
message, the strings of the app and the command line, and all `--help` outputs. Code spans, code blocks and doctests are
not text.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from dinoclip_viz.cli.parser import build_parser

ROOT = Path(__file__).resolve().parent.parent

_ITEM = (
    r"(?:files?|rows?|lines?|images?|patch(?:es)?|maps?|vectors?|class(?:es)?|entry|entries|points?|numbers?|match(?:es)?"
    r"|frames?|scenes?|prompts?|(?:a|one|two|\d+) names?|bars?|columns?|neighbours|pixels|captions?|stores?|tokens"
    r"|steps|folders?|colours?|values|shards?|models?|heads?|calls?|megabytes|MB|GB|bytes|milliseconds|ms|seconds)"
)
_UNIT = (
    r"(?:tab|class|image|encoder|file|step|side|head|layer|prompt|scene|row|line|part|patch|pair|pixel|shard|cell|query"
    r"|method|word|model|duplicate|run|token|batch|epoch|figure|frame|caption|block|label|value|sample|view|seed|store)"
)

RULES: dict[str, list[str]] = {
    "image, figure": [r"\bpictures?\b"],
    "ground truth": [r"(?<![Gg]round )(?<![Gg]round-)\btruths?\b", r"\b(?:what|as) (?:was|were|is) drawn\b"],
    "synthetic scenes, the playground": [
        r"\b(?:its|the|a|this|that) world\b",
        r"\bdrawn (?:world|scenes?|truth|pairs?)\b",
    ],
    "held-out, unseen": [
        r"\b(?:scenes|eighty|hundred|thousand|those|ones) of another seed\b",
        r"\b(?:nobody|no one) (?:saw|has seen|looked|clicked)\b",
        r"\b(?:ha(?:s|ve|d)) (?:never|not) seen\b",
        r"\b(?:never|no training) saw\b",
    ],
    "per": [rf"(?<!each )(?<!every )(?<!the )(?<!this )(?<!whose )\b{_ITEM} an? {_UNIT}\b(?! of\b|[-'])"],
    "fraction, percentage, probability, accuracy": [
        r"(?<!they )(?<!that )\bshares? (?:of|per|that|is|are|in)\b",
        r"\b(?:the|a|an|each|what|which|this|its|as|in|by|largest|least|smallest|mean|per|and|or|two|\d) shares?\b"
        r"(?! (?:the|one|a|an|no|its|their|it|memory|weights|all|this)\b)",
    ],
    "similar, similarity, nearest": [
        r"\balike\b",
        r"\blikest\b",
        r"\bhow (?:much )?like\b",
        r"\b(?:most|is|are|more) like (?:it|its|the|one|each|this|that)\b",
        r"\bclosest\b",
    ],
    "predict, classify, report, state": [
        r"\b(?:tells?|told|telling)\b",
        r"\bread off\b",
        r"\b(?:says?|saying)\b",
    ],
    "resume": [
        r"\b(?:go(?:es)?|went|going) on (?:where|at|from|after|with)\b",
        r"\bwhere (?:it|they) (?:(?:was|were) (?:stopped|cut)|stopped|ended)\b",
    ],
    "position, pixel, location": [r"(?<![Ii]n )(?<!in-)(?<!decimal )(?<!takes )(?<!take )\bplaces?\b"],
    "compare with, next to": [r"\bbeside\b"],
    "encoder, model, source (as a choice's name)": [
        r"(?:^|[.;:(] )[Ww]hose (?!\w+ing\b)",
        r"^[Ww]hat$",
        r"\bwhat to tell\b",
    ],
    "open-vocabulary, text-prompted": [
        r"\bby (?:the |their |its )?words\b",
        r"\bfrom words\b",
        r"(?<!background )\bwords alone\b",
        r"\bask(?:s|ed)?\b[^.]{0,30} in words\b",
    ],
    "skipped, failed, invalid": [
        r"\bleft out\b",
        r"\bleav(?:e|es|ing)(?: \w+){0,3} out\b",
        r"\bcannot be used\b",
        r"\bstrange(?:ly)?\b",
    ],
    "returns, raises, accepts": [
        r"\b(?:is|are|was|be) told\b",
        r"\b(?:comes?|came|coming) back\b",
        r"\bg(?:ives?|ave) back\b",
        r"\bhand(?:s|ed)? back\b",
        r"^Takes\b",
    ],
    "per second, throughput, latency, peak memory": [
        rf"\b{_ITEM} an? (?:second|minute|hour)\b(?! \w*(?:time|pass|model|one)\b)",
        r"\b(?:samples|pairs|queries|times|once|twice|it|reads) an? (?:second|minute|hour)\b",
        r"\bat most \S+(?: \w+){0,3} a second\b",
    ],
    "background, foreground, object": [r"\b(?:what )?lies behind\b", r"\bwhat (?:is|stands) behind\b"],
    "alternating runs": [r"\b(?:in|by) turns\b"],
    "checkpoint, epoch, step, batch": [r"\bsittings?\b", r"\b(?:a|this|that|the|any|every|each|same|one|at) moment\b"],
}
"""What is written -> regular expressions of what is not written in that sense."""

HITS = {
    "image, figure": "Reads a picture",
    "ground truth": "compared with the truth",
    "synthetic scenes, the playground": "scenes of the drawn world",
    "held-out, unseen": "scenes that training never saw",
    "per": "one file a tab",
    "fraction, percentage, probability, accuracy": "the share of the teacher's",
    "similar, similarity, nearest": "patches that are alike",
    "predict, classify, report, state": "the message says so",
    "resume": "a run goes on where it was stopped",
    "position, pixel, location": "each place of the image",
    "compare with, next to": "the legend beside the map",
    "encoder, model, source (as a choice's name)": "whose features to search",
    "open-vocabulary, text-prompted": "segmentation by words",
    "skipped, failed, invalid": "one that cannot be used",
    "returns, raises, accepts": "what comes back",
    "per second, throughput, latency, peak memory": "images a second",
    "background, foreground, object": "what lies behind it",
    "alternating runs": "measured in turns",
    "checkpoint, epoch, step, batch": "in one sitting",
}
"""An example of each retired term."""

GOOD = """
The ground truth of the synthetic scenes. Ground truth as a mask. One file per tab. Images that share one patch
grid, a twin that shares its weights, memory shared by processes. What they share is written once. A second image.
Turn the image a second time. In place of the mean. `place` and `truth` in code. The prompts that name a class, the
image a class belongs to, whose patches a tab shows. Name with `--model` an image-text model. Statistical moments.
Two decimal places. Pixels whose depth is known. 40 images per second. Each neighbour in turn. A folder of another
seed or size.
"""


@dataclass(frozen=True)
class Text:
    """A text with the line of each of its characters; whitespace is collapsed, code spans are blank."""

    source: str
    words: str
    starts: tuple[int, ...]  # index of the first character of each source line
    lines: tuple[int, ...]

    def line(self, index: int) -> int:
        return self.lines[bisect_right(self.starts, index) - 1]

    def sentence(self, start: int, end: int) -> str:
        """The sentence around a match, at most 160 characters."""
        first = max((self.words.rfind(mark, 0, start) for mark in (". ", "; ", ": ")), default=-1) + 1
        last = self.words.find(". ", end)
        return self.words[max(first, start - 80) : min(last + 1 if last >= 0 else len(self.words), end + 80)].strip()


def text_of(source: str, lines: list[tuple[int, str]]) -> Text:
    words, starts, numbers = "", [], []
    for number, line in lines:
        stripped = " ".join(line.split())
        if not stripped:
            continue
        starts.append(len(words))
        numbers.append(number)
        words += stripped + " "
    words = re.sub(r"`+[^`]*`+|https?://\S+", lambda span: "`" * len(span[0]), words).rstrip()
    return Text(source, words, tuple(starts or [0]), tuple(numbers or [0]))


def paragraphs(source: str, text: str, first: int) -> Iterator[Text]:
    """Paragraphs of a docstring or a message, without doctests."""
    block: list[tuple[int, str]] = []
    example = False
    for number, line in enumerate(text.split("\n"), first):
        stripped = line.strip()
        example = bool(stripped) and (example or stripped.startswith(">>>"))
        if not stripped or example:
            if block:
                yield text_of(source, block)
            block = []
        else:
            block.append((number, re.sub(r"^\s+(\w+(?:, \w+)*): ", r"`\1` ", line)))  # the names of arguments are code
    if block:
        yield text_of(source, block)


def markdown(source: str, text: str, first: int = 1) -> Iterator[Text]:
    """Paragraphs of Markdown, and the comments in its code blocks."""
    block: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(text.split("\n"), first):
        if line.startswith("```"):
            fenced = not fenced
        comment = re.search(r"(?:^|\s)#\s+(.*)", line) if fenced else None
        if comment:
            yield text_of(source, [(number, comment[1])])
        breaks = not line.strip() or line.startswith(("#", "|", "-", "```"))
        if breaks and block:
            yield text_of(source, block)
            block = []
        if line.strip() and not fenced and not line.startswith("```"):
            block.append((number, line.lstrip("#|- ")))
    if block:
        yield text_of(source, block)


def comments(source: str, code: str) -> Iterator[Text]:
    """Comments of Python code; those on consecutive lines are one text."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != block[-1][0] + 1:
                yield text_of(source, block)
                block = []
            block.append((token.start[0], re.sub(r"^#:?\s*|(?:noqa|type: ignore)\S*(?:\s+\S+\d+)*", "", token.string)))
    if block:
        yield text_of(source, block)


def literal(node: ast.expr) -> str | None:
    """The text of a string or an f-string, with "`" for values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "`x`" for part in node.values)
    return None


def strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of the strings below a node, f-strings as one."""
    text = literal(node) if isinstance(node, ast.expr) else None
    if text is not None:
        yield node.lineno, text
        return
    for child in ast.iter_child_nodes(node):
        yield from strings(child)


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Strings in `raise` statements and in calls of functions that are named after errors."""
    for node in ast.walk(tree):
        called = ast.unparse(node.func).split(".")[-1].lower() if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Raise) or called.endswith(("error", "warning", "warn")):
            yield from strings(node)


def without_entries(docstring: str, names: set[str]) -> str:
    """A docstring with "`x`" for the names of arguments and attributes that begin its entries: they are code."""

    def blank(entry: re.Match[str]) -> str:
        return f"{entry[1]}`x`" if names.issuperset(entry[2].split(", ")) else entry[0]

    return re.sub(r"^([ ]{4,})(\w+(?:, \w+)*)(?=: )", blank, docstring, flags=re.MULTILINE)


def python(path: Path) -> Iterator[Text]:
    source, code = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    tree = ast.parse(code)
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {ast.unparse(node.target) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)}
    yield from comments(source, code)
    found = set(messages(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.add((node.lineno, node.value.value))
    if path.relative_to(ROOT).parts[:2] in (("dinoclip_viz", "app"), ("dinoclip_viz", "cli")):
        found |= {(line, text) for line, text in strings(tree) if " " in text.strip() or text[:1].isupper()}
    for line, text in sorted(found):
        yield from paragraphs(source, without_entries(text, names), line)


def notebook(path: Path) -> Iterator[Text]:
    """Markdown cells and comments; the line is the number of the cell."""
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source, text = f"{path.relative_to(ROOT)}, cell {number}", "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from markdown(source, text)
        elif not text.lstrip().startswith(("!", "%")) and "\n%" not in text:
            yield from comments(source, text)


def helps(parser: argparse.ArgumentParser) -> Iterator[Text]:
    """Every text of a parser and of the parsers of its verbs."""
    found = [parser.description, parser.epilog, *(group.title for group in parser._action_groups)]
    found += [group.description for group in parser._action_groups]
    for action in parser._actions:
        found.append(action.help)
        if isinstance(action, argparse._SubParsersAction):
            found += [choice.help for choice in action._choices_actions]
            for below in action.choices.values():
                yield from helps(below)
    for text in found:
        if text and text is not argparse.SUPPRESS:
            yield from paragraphs(f"{parser.prog} --help", text, 0)


@cache
def texts() -> tuple[Text, ...]:
    found: list[Text] = []
    for folder in ("", "docs", "apps", "dinoclip_viz"):
        for path in sorted((ROOT / folder).rglob("*.md") if folder else ROOT.glob("*.md")):
            found += markdown(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    for folder in ("apps", "dinoclip_viz"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += python(path)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        found += notebook(path)
    return tuple(found)


def retired(rule: str, within: tuple[Text, ...]) -> list[str]:
    """`source:line: sentence` for each use of a retired term."""
    pattern = re.compile("|".join(f"(?:{each})" for each in RULES[rule]), re.MULTILINE)
    found = []
    for text in within:
        for hit in pattern.finditer(text.words):
            found.append(f"{text.source}:{text.line(hit.start())}: [{hit[0]}] {text.sentence(*hit.span())}")
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_find_their_term_and_spare_others(rule):
    assert retired(rule, tuple(paragraphs("example", HITS[rule], 1)))
    assert retired(rule, tuple(paragraphs("example", GOOD, 1))) == []


@pytest.mark.parametrize("rule", RULES)
def test_one_term_per_concept(rule):
    found = retired(rule, texts())
    assert not found, f"write: {rule}\n" + "\n".join(found)


def test_names_of_arguments_are_code():
    assert without_entries("Vectors.\n\n    Args:\n        place: the place.\n        far: it.", {"place"}) == (
        "Vectors.\n\n    Args:\n        `x`: the place.\n        far: it."
    )


def test_help_uses_the_same_terms():
    within = tuple(helps(build_parser()))
    assert len(within) > 100
    found = [f"{line}  -> {rule}" for rule in RULES for line in retired(rule, within)]
    assert not found, "\n".join(found)


def test_no_identifier_holds_a_retired_word():
    found = []
    for path in sorted((ROOT / "dinoclip_viz").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "id", None) or getattr(node, "name", None) or getattr(node, "arg", None)
            if isinstance(name, str) and re.search(r"(?:^|_)pictures?(?:$|_)", name):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert found == []
