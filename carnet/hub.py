"""Datasets and models of the Hugging Face hub, pinned to a commit.

A branch or a tag can move; the commit that it stood for cannot, so this is
what files are fetched from and what a passport records.
"""

import contextlib
import dataclasses
import functools
import pathlib
import re
from collections.abc import Sequence
from typing import Any, Literal

from carnet import errors, extras

# huggingface_hub.utils.validate_repo_id, with a namespace that must be there
_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9_][\w.\-]*", re.ASCII)
_LONGEST_ID = 96 + 97
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[\w.\-/+]{1,255}", re.ASCII)
_OFFLINE = (
  "OfflineModeIsEnabled",
  "LocalEntryNotFoundError",
  "ConnectionError",
  "TransportError",  # of httpx, which is no OSError
  "TimeoutException",
)


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """Files of one commit, in the cache of huggingface_hub."""

  path: pathlib.Path
  commit: str


def is_id(text: str) -> bool:
  """Tells whether `text` reads as user/name or user/name@revision."""
  return _ID.fullmatch(text.partition("@")[0]) is not None


def snapshot(
  repo_id: str,
  kind: Literal["dataset", "model"],
  revision: str | None,
  patterns: Sequence[str],
) -> Snapshot:
  """Fetches the files that match `patterns` and are not in the cache yet.

  `revision` is a branch, a tag or a commit, None is the main branch. A full
  commit needs no network once it was fetched.

  Raises:
    UserError: no such repository or revision, no access, no network.
  """
  _check(repo_id, revision)
  hub: Any = extras.load("huggingface_hub", "hub")
  try:
    commit = revision or ""
    if not _COMMIT.fullmatch(commit):
      api = hub.HfApi()
      ask = api.dataset_info if kind == "dataset" else api.model_info
      commit = ask(repo_id, revision=revision).sha
    path = _fetch(hub, repo_id, kind, commit, patterns)
  except Exception as error:
    # three generations of its HTTP library share no class but these names
    names = {base.__name__ for base in type(error).__mro__}
    raise _explained(
      f"{repo_id}@{revision or 'main'}", kind, names, error
    ) from (error)
  return Snapshot(pathlib.Path(path), commit)


def _fetch(
  hub: Any, repo_id: str, kind: str, commit: str, patterns: Sequence[str]
) -> str:
  """Returns the directory, from the cache if all of it is known to be there."""
  download = functools.partial(
    hub.snapshot_download,
    repo_id,
    repo_type=kind,
    revision=commit,
    allow_patterns=list(patterns),
  )
  with contextlib.suppress(OSError, ValueError):  # LocalEntryNotFoundError
    path = download(local_files_only=True)
    # Only where the library keeps what the commit holds does it tell a cache
    # with some of the files, as other patterns leave it, from a whole one.
    if (pathlib.Path(path).parents[1] / "trees" / f"{commit}.json").is_file():
      return path
  return download()


def _check(repo_id: str, revision: str | None) -> None:
  if len(repo_id) > _LONGEST_ID or not _ID.fullmatch(repo_id):
    raise errors.UserError(
      f"'{repo_id}' is no repository of the hub: write user/name, or "
      "user/name@revision"
    )
  if revision is not None and not _REVISION.fullmatch(revision):
    raise errors.UserError(
      f"'{revision}' is no revision of '{repo_id}': name a branch, a tag or a "
      "commit"
    )


def _explained(
  place: str, kind: str, names: set[str], error: Exception
) -> Exception:
  """Returns what to raise for an error of huggingface_hub."""
  if "GatedRepoError" in names:
    reason = (
      "its owner gives access on request: ask there, then `hf auth login`"
    )
  elif "RepositoryNotFoundError" in names:
    reason = f"no such {kind}, or a private one: `hf auth login` for those"
  elif "RevisionNotFoundError" in names:
    reason = f"the {kind} has no such branch, tag or commit"
  elif "HFValidationError" in names:
    reason = _one_line(error)
  elif names & set(_OFFLINE):
    reason = (
      "the hub is out of reach and these files are not in its cache; offline, "
      "name a full commit that was fetched before, or a directory "
      f"({_one_line(error)})"
    )
  elif "OSError" in names or "HTTPError" in names:
    reason = _one_line(error)
  else:
    return error
  return errors.UserError(f"{place}: {reason}")


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split()) or type(error).__name__
  return text if len(text) <= 200 else text[:197] + "..."
