"""Repositories of the hub as folders in its cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dinoclip_viz.encoders.errors import EncoderError
from dinoclip_viz.encoders.hub.checksums import complete_files, folder_in_cache, remove_damaged
from dinoclip_viz.encoders.hub.limits import limited
from dinoclip_viz.encoders.hub.refusals import failures, refusal

Library = Literal["transformers", "open_clip", "timm", "tokenizer"]

_WEIGHTS: dict[Library, list[str]] = {
    "transformers": ["model.safetensors", "model-*.safetensors"],
    "timm": ["model.safetensors"],
    "open_clip": ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"],
    "tokenizer": [],
}
_SETTINGS = [
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "templates.json",
    "modules.json",
    "sentence_*_config.json",
    "config_sentence_transformers.json",
    "[0-9]*_*/config.json",
    "[0-9]*_*/model.safetensors",
]


@dataclass(frozen=True)
class Options:
    """How to download, as in huggingface_hub.

    Attributes:
        token: token of a user; by default that of `hf auth login` or HF_TOKEN.
        cache: folder of the cache; by default HF_HUB_CACHE.
        force: whether to download what is in the cache again.
        local: whether to use the cache alone.
    """

    token: str | bool | None = None
    cache: str | Path | None = None
    force: bool = False
    local: bool = False


def fetch(
    name: str,
    repository: str,
    library: Library,
    revision: str | None = None,
    gated: bool = False,
    options: Options | None = None,
) -> tuple[Path, str]:
    """Download a repository and return its folder in the hub's cache and its commit.

    Some repositories (such as openai/clip-vit-base-patch32) have only a pickle on the main branch, and safetensors in a
    pull request by the hub's conversion bot. Then those are used, as transformers does.

    The hub may take HF_HUB_DOWNLOAD_TIMEOUT or HF_HUB_ETAG_TIMEOUT (10 s unless set) to answer or to send a further
    byte of a file. Then it is asked once more, so that a hub which never answers is given up after 10 s at the first
    question and after 22 s at each file; eight files are asked for at a time. Complete files are kept for the next
    call. A file whose checksum is not the one that the hub states is removed.

    Args:
        name: name as the user wrote it, for messages.
        repository: hub id.
        library: library whose weights to use if a repository has both; "tokenizer" for settings without weights.
        revision: branch, tag or commit; by default the main branch.
        gated: whether its licence must be accepted first.
        options: by default those of `Options`.

    Raises:
        EncoderError: the hub cannot be reached, does not answer or has a fault, the repository or revision does not
            exist or has no safetensors, a login is required, or a file arrived damaged.
    """
    options = options or Options()
    folder = _download(name, repository, library, revision, gated, options)
    if not _has_weights(folder, library):
        alone = _offline() or options.local
        converted = _in_cache(folder, library) if alone else _converted(name, repository, library, gated, options)
        if converted is None:
            hint = f"; its open_clip files, if any, are hf-hub:{repository}" if library == "transformers" else ""
            raise EncoderError(
                f"{name}: {repository} has no {_WEIGHTS[library][0]}, and a pickle is never loaded; "
                f"save the model with save_pretrained and use that folder{hint}"
            )
        folder = converted
    return folder, folder.name


def _download(
    name: str, repository: str, library: Library, revision: str | None, gated: bool, options: Options
) -> Path:
    from huggingface_hub import snapshot_download

    cached = folder_in_cache(repository, options.cache)
    known = set() if options.force else complete_files(cached)
    damaged: list[str] = []
    try:
        with limited() as headers:
            folder = snapshot_download(
                repository,
                revision=revision,
                allow_patterns=_WEIGHTS[library] + _SETTINGS,
                headers=headers,
                token=options.token,
                cache_dir=options.cache,
                force_download=options.force,
                local_files_only=options.local,
            )
    except failures() as error:
        raise refusal(error, name, repository, revision, gated) from error
    finally:
        damaged += remove_damaged(cached, known)
    if damaged:
        raise EncoderError(
            f"{name}: {', '.join(damaged)} of {repository} arrived damaged and was removed: the checksum is not the "
            "one that the hub states; try again"
        )
    return Path(folder)


def _converted(name: str, repository: str, library: Library, gated: bool, options: Options) -> Path | None:
    """Folder of the revision with safetensors in the conversion bot's pull request; None without one."""
    from huggingface_hub import HfApi

    try:
        with limited() as headers:
            hub = HfApi(headers=headers, token=options.token)
            found = hub.get_repo_discussions(repository, author="SFconvertbot", discussion_type="pull_request")
            requests = [each for each in found if each.title == "Adding `safetensors` variant of this model"]
    except failures() as error:
        raise refusal(error, name, repository, None, gated) from error
    for request in requests:
        folder = _download(name, repository, library, f"refs/pr/{request.num}", gated, options)
        if _has_weights(folder, library):
            return folder
    return None


def _in_cache(folder: Path, library: Library) -> Path | None:
    """Another cached snapshot of the same repository that has weights; None without one."""
    return next((other for other in sorted(folder.parent.iterdir()) if _has_weights(other, library)), None)


def _has_weights(folder: Path, library: Library) -> bool:
    patterns = _WEIGHTS[library]
    return not patterns or any(path for pattern in patterns for path in folder.glob(pattern))


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
