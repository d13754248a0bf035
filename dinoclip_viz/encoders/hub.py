"""Download of models from the Hugging Face hub: only safetensors and settings, no pickle and no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dinoclip_viz.encoders.catalog import nearest
from dinoclip_viz.encoders.errors import EncoderError

OFFLINE = "playground-dino, playground-clip and local folders work without it"

Library = Literal["transformers", "open_clip", "timm"]

_WEIGHTS = {
    "transformers": ["model.safetensors", "model-*.safetensors"],
    "timm": ["model.safetensors"],
    "open_clip": ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"],
}
_SETTINGS = [
    "model.safetensors.index.json",
    "config.json",
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


def fetch(
    name: str, repository: str, library: Library, revision: str | None = None, gated: bool = False
) -> tuple[Path, str]:
    """Download a repository and return its folder in the hub's cache and its commit.

    Some repositories (such as openai/clip-vit-base-patch32) have only a pickle on the main branch, and safetensors in a
    pull request by the hub's conversion bot. Then those are used, as transformers does.

    Args:
        name: name as the user wrote it, for messages.
        repository: hub id.
        library: library whose weights to use if a repository has both.
        revision: branch, tag or commit; by default the main branch.
        gated: whether its licence must be accepted first.

    Raises:
        EncoderError: the hub cannot be reached, the repository or revision does not exist or has no safetensors, or
            a login is required.
    """
    folder = _download(name, repository, library, revision, gated)
    if not _has_weights(folder, library):
        converted = _in_cache(folder, library) if _offline() else _converted(name, repository, library, gated)
        if converted is None:
            hint = f"; its open_clip files, if any, are hf-hub:{repository}" if library == "transformers" else ""
            raise EncoderError(
                f"{name}: {repository} has no {_WEIGHTS[library][0]}, and a pickle is never loaded; "
                f"save the model with save_pretrained and use that folder{hint}"
            )
        folder = converted
    return folder, folder.name


def _download(name: str, repository: str, library: Library, revision: str | None, gated: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_WEIGHTS[library] + _SETTINGS))
    except GatedRepoError as error:
        raise EncoderError(_gated(name, repository)) from error
    except RevisionNotFoundError as error:
        raise EncoderError(f"{name}: {repository} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        if gated:
            raise EncoderError(_gated(name, repository)) from error
        near = nearest(repository)
        hint = f"; the nearest known ones are {', '.join(near)}" if near else ""
        raise EncoderError(f"{name}: the hub has no repository {repository!r}, or it is private{hint}") from error
    except HFValidationError as error:
        raise EncoderError(f"{name}: {repository!r} is not a hub id; expected org/name") from error
    except LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE is set" if _offline() else "the Hugging Face hub cannot be reached"
        raise EncoderError(f"{name}: {repository} is not on this disk and {reason}; {OFFLINE}") from error
    except HfHubHTTPError as error:
        line = " ".join(str(error).split())[:160]
        raise EncoderError(f"{name}: the hub refused {repository} ({line}); {OFFLINE}") from error
    except OSError as error:  # no route, no name server, a full disk
        line = " ".join(str(error).split())[:160] or type(error).__name__
        raise EncoderError(f"{name}: {repository} could not be fetched ({line}); {OFFLINE}") from error


def _converted(name: str, repository: str, library: Library, gated: bool) -> Path | None:
    """Folder of the revision with safetensors in the conversion bot's pull request; None without one."""
    from huggingface_hub import get_repo_discussions
    from huggingface_hub.errors import HfHubHTTPError

    try:
        requests = [
            request
            for request in get_repo_discussions(repository, author="SFconvertbot", discussion_type="pull_request")
            if request.title == "Adding `safetensors` variant of this model"
        ]
    except (HfHubHTTPError, OSError) as error:
        line = " ".join(str(error).split())[:160] or type(error).__name__
        raise EncoderError(f"{name}: the pull requests of {repository} cannot be read ({line}); {OFFLINE}") from error
    for request in requests:
        folder = _download(name, repository, library, f"refs/pr/{request.num}", gated)
        if _has_weights(folder, library):
            return folder
    return None


def _in_cache(folder: Path, library: Library) -> Path | None:
    """Another cached snapshot of the same repository that has weights; None without one."""
    return next((other for other in sorted(folder.parent.iterdir()) if _has_weights(other, library)), None)


def _has_weights(folder: Path, library: Library) -> bool:
    return any(path for pattern in _WEIGHTS[library] for path in folder.glob(pattern))


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _gated(name: str, repository: str) -> str:
    return (
        f"{name}: {repository} is gated; accept its licence on https://huggingface.co/{repository}, run "
        f"`hf auth login` and try again; {OFFLINE}"
    )
