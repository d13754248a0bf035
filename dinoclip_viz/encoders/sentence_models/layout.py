"""The layout of a sentence-transformers folder: modules.json and the settings of its modules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.encoders.errors import EncoderError, one_line, type_name

MODULES = "modules.json"
TRANSFORMER, POOLING, DENSE, NORMALIZE = "Transformer", "Pooling", "Dense", "Normalize"
MODES = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Pooling mode -> its flag in folders written before version 6; several flags concatenate in this order."""

_EXPECTED = f"{TRANSFORMER}, {POOLING} and optionally {DENSE} and {NORMALIZE}"
_TASK = "feature-extraction"


@dataclass(frozen=True)
class Layout:
    """Modules of a text encoder.

    Attributes:
        transformer: folder of the model of transformers and its tokenizer.
        pooling: one or more of `MODES`; their vectors are concatenated.
        width: dimension of the token vectors by the settings of the pooling; None if they do not state it.
        after: modules after the pooling, in order: kind, `DENSE` or `NORMALIZE`, and folder.
        context: maximum number of tokens per text; None for that of the tokenizer.
        lower: whether texts are converted to lower case before the tokenizer.
        prompt: prefix of every text.
    """

    transformer: Path
    pooling: tuple[str, ...]
    width: int | None
    after: tuple[tuple[str, Path], ...]
    context: int | None
    lower: bool
    prompt: str


def is_sentence_folder(folder: Path) -> bool:
    """Whether a folder is in sentence-transformers' layout."""
    return (folder / MODULES).is_file()


def read_layout(folder: Path, name: str) -> Layout:
    """The modules of a folder.

    Args:
        folder: folder of a model.
        name: name as the user wrote it.

    Raises:
        EncoderError: a file is missing or is not JSON, or a module or setting is not supported.
    """
    modules = _modules(folder, name)
    (_, first), (_, second), *after = modules
    settings = read_json(second / "config.json", name)
    own = next(iter(sorted(first.glob("sentence_*_config.json"))), None)
    transformer = read_json(own, name) if own else {}
    task = transformer.get("transformer_task", _TASK)
    if task != _TASK:
        raise EncoderError(f"{name}: {own} has the task {task!r}; expected {_TASK!r}")
    prompt = _prompt(folder, name)
    if prompt and not settings.get("include_prompt", True):
        raise EncoderError(
            f"{name}: {second / 'config.json'} excludes the prompt {prompt!r} from pooling; "
            "expected include_prompt true, or no default prompt"
        )
    width = "embedding_dimension" if "embedding_dimension" in settings else "word_embedding_dimension"
    return Layout(
        transformer=first,
        pooling=_modes(settings, name, second / "config.json"),
        width=positive(settings, width, name, second / "config.json"),
        after=tuple(after),
        context=positive(transformer, "max_seq_length", name, first),
        lower=bool(transformer.get("do_lower_case", False)),
        prompt=prompt,
    )


def is_text_model(folder: Path, name: str) -> bool:
    """Whether a folder is that of a text model of transformers, which reads no images.

    Raises:
        EncoderError: config.json is not a JSON object.
    """
    path = folder / "config.json"
    settings = read_json(path, name) if path.is_file() else {}
    return "vocab_size" in settings and not {"vision_config", "text_config"} & settings.keys()


def plain_layout(folder: Path, name: str, pooling: str) -> Layout:
    """The layout of a folder that only transformers wrote, with a pooling mode that the user names.

    Args:
        folder: folder of a model.
        name: name as the user wrote it.
        pooling: one of `MODES`.

    Raises:
        EncoderError: the folder is not that of a text model.
    """
    if not is_text_model(folder, name):
        raise EncoderError(f"{name}: {folder} is no text model; the pooling {pooling!r} is for text models alone")
    return Layout(folder, (pooling,), None, (), None, False, "")


def _modules(folder: Path, name: str) -> list[tuple[str, Path]]:
    """Kind and folder of each module, in order."""
    path = folder / MODULES
    listed = _parsed(path, name)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise EncoderError(f"{name}: {path} holds {type_name(listed)}; expected a list of modules")
    found = []
    for module in listed:
        library, _, kind = str(module.get("type", "")).rpartition(".")
        if library.split(".")[0] != "sentence_transformers":
            raise EncoderError(
                f"{name}: {path} has the module {module.get('type')!r}, which needs code of its own; "
                f"expected sentence-transformers' {_EXPECTED}"
            )
        inside = (folder / str(module.get("path", ""))).resolve()
        if not inside.is_relative_to(folder.resolve()):
            raise EncoderError(f"{name}: {path} names {module['path']!r}, outside the folder; expected a folder in it")
        found.append((kind, inside))
    kinds = [kind for kind, _ in found]
    if kinds[:2] != [TRANSFORMER, POOLING] or not {*kinds[2:]} <= {DENSE, NORMALIZE}:
        raise EncoderError(f"{name}: {path} lists {', '.join(kinds) or 'no module'}; expected {_EXPECTED}")
    return found


def _modes(settings: dict[str, object], name: str, path: Path) -> tuple[str, ...]:
    """Pooling modes of either version of the settings."""
    given = settings.get("pooling_mode")
    if given is None:
        modes = [mode for mode, flag in MODES.items() if settings.get(flag)] or ["mean"]
    else:
        modes = [given] if isinstance(given, str) else list(given) if isinstance(given, list) else [str(given)]
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        raise EncoderError(f"{name}: {path} has the pooling {given!r}; expected one or more of {', '.join(MODES)}")
    return tuple(modes)


def _prompt(folder: Path, name: str) -> str:
    """The prefix of every text in config_sentence_transformers.json; empty without a default prompt."""
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path, name) if path.is_file() else {}
    chosen, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    if chosen is None:
        return ""
    if not isinstance(prompts, dict) or chosen not in prompts:
        raise EncoderError(f"{name}: {path} has the default prompt {chosen!r}; expected the name of one in its prompts")
    return str(prompts[chosen])


def read_json(path: Path, name: str) -> dict[str, object]:
    """The content of a JSON file.

    Raises:
        EncoderError: the file is missing or is not a JSON object.
    """
    values = _parsed(path, name)
    if not isinstance(values, dict):
        raise EncoderError(f"{name}: {path} holds {type_name(values)}; expected a JSON object")
    return values


def positive(settings: dict[str, object], key: str, name: str, path: Path) -> int | None:
    """A whole number of 1 or more; None where the settings lack it.

    Raises:
        EncoderError: the value is something else.
    """
    value = settings.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or value < 1:
        raise EncoderError(f"{name}: {path} has {key} {value!r}; expected a whole number of 1 or more")
    return value


def _parsed(path: Path, name: str) -> object:
    if not path.is_file():
        raise EncoderError(f"{name}: {path} is missing; expected a folder written by sentence-transformers")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{name}: {path} is not valid JSON ({one_line(error)})") from error
