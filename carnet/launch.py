"""The start of a training run: what is captured, and attached to its saves.

This file imports no JAX: what JAX knows comes from `carnet.jax_settings`.
"""

import contextlib
import datetime
import os
import pathlib
import platform
import re
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carnet import checkpoint as checkpoint_lib
from carnet import repository, run_context, run_log, sources
from carnet import versions as versions_lib
from carnet.checkpoint import digest, directory, documents

LIBRARIES = (
  *("carnet", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"),
  *("tensorstore", "numpy"),
)
LOCK_FILE = "requirements.lock"
# --wandb_key=..., or --wandb_key and then a word of its own
_SECRET = re.compile(
  r"-.*?(\b|_)(key|token|secret|password|passwd)(=|$)", re.IGNORECASE
)
_HIDDEN = "***"
_URL = re.compile(r"\w+://[^\s,'\"]*@[^\s,'\"]*")


def capture(
  package: pathlib.Path,
  datasets: Sequence[run_context.Dataset],
  model: run_context.Model,
  pretrained: Sequence[run_context.Pretrained] = (),
  packages: Iterable[str] = (),
  jax_settings: Mapping[str, Any] | None = None,
) -> run_context.Context:
  """Returns the facts of a run that begins now.

  Args:
    package: a file of the code that trains.
    datasets: what it trains on.
    model: what it trains.
    pretrained: what the model begins with.
    packages: installed distributions in use, besides `LIBRARIES`.
    jax_settings: of `carnet.jax_settings.describe`.
  """
  code = sources.code(package)
  return run_context.Context(
    captured_at_launch=True,
    run_id=secrets.token_hex(16),
    started_utc=_now(),
    argv=command(),
    training_repository=code,
    datasets=tuple(datasets),
    model=model,
    pretrained=tuple(pretrained),
    libraries=versions((*LIBRARIES, *packages)),
    environment=_environment(
      lock_sha256(code, package.parent), jax_settings or {}
    ),
    run_log=run_log.NAME,
  )


def load_or_save(
  checkpoint: "checkpoint_lib.Checkpoint",  # quoted: its module has JAX
  workdir: pathlib.Path,
  captured: run_context.Context,
  step: int = 0,
) -> int:
  """Does what `Checkpoint.load_or_save` does, with the papers attached.

  Every save of the run carries run_context.json and TRAINING_LOG.md. They are
  written by the first process, if there are several.
  """
  context, resumes = captured, checkpoint.latest() is not None
  if resumes:
    context = _earlier(checkpoint.directory) or _late(captured)
  log = run_log.RunLog(workdir / "metrics.jsonl", context.argv or ())
  checkpoint.attach(run_log.NAME, log.render)
  # a function: several processes need not agree on it
  checkpoint.attach(run_context.NAME, context.to_json)
  start = checkpoint.load_or_save(step)
  if resumes:
    resumed = _resumed(context, captured, start)
    checkpoint.attach(run_context.NAME, resumed.to_json)
  return start


def command() -> tuple[str, ...]:
  """Returns the command line, without what looks like a secret in it."""
  previous = ["", *sys.argv]
  return tuple(map(_without_secret, sys.argv, previous))


def versions(distributions: Iterable[str]) -> dict[str, str]:
  """Returns the versions of Python and of those that are installed."""
  found = versions_lib.installed(distributions)
  return {"python": platform.python_version()} | found


def search_path() -> tuple[str, ...]:
  """Returns the entries of PYTHONPATH."""
  return tuple(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def lock_sha256(code: repository.Repository, place: pathlib.Path) -> str | None:
  """Returns the digest of the lock file of a repository with `place` in it."""
  top = repository.root(place) if code.commit else None
  lock = top / LOCK_FILE if top else None
  return digest.file(lock) if lock and lock.is_file() else None


def _environment(
  lock: str | None, jax_settings: Mapping[str, Any]
) -> run_context.Environment:
  config = jax_settings.get("jax_config")
  return run_context.Environment(
    python=platform.python_version(),
    platform=platform.platform(),
    device_kind=jax_settings.get("device_kind"),
    device_count=jax_settings.get("device_count"),
    lock_file_sha256=lock,
    jax_config=run_context.JaxConfig(**config) if config else None,
    pythonpath=search_path(),
  )


def _earlier(root: pathlib.Path) -> run_context.Context | None:
  """Returns the context of the newest sound step that has one."""
  for step in reversed(directory.numbered(root)):
    # of an earlier version of carnet, or damaged: `load_or_save` tells
    with contextlib.suppress(checkpoint_lib.CorruptError):
      found = directory.read_manifest(step).files
      if any(file.path == run_context.NAME for file in found):
        stored = checkpoint_lib.read_json(step, run_context.NAME)
        where = f"{step}/{run_context.NAME}"
        return run_context.parse(documents.encode(stored, where), where)
  return None


def _late(captured: run_context.Context) -> run_context.Context:
  """Returns what is known of a run whose start nobody recorded."""
  unknown = {"captured_at_launch": False, "started_utc": None}
  return captured.model_copy(update=unknown)


def _resumed(
  context: run_context.Context, now: run_context.Context, step: int
) -> run_context.Context:
  code = now.training_repository
  entry = run_context.Resumption(
    utc=_now(),
    step=step,
    commit=code.commit,
    dirty=code.dirty,
    diff_sha256=code.diff_sha256,
    package=code.package,
  )
  return context.model_copy(
    update={"resumptions": (*context.resumptions, entry)}
  )


def _without_secret(word: str, previous: str) -> str:
  found = _SECRET.match(word)
  if found and word[found.end() - 1] == "=":
    return f"{word[: found.end()]}{_HIDDEN}"
  before = _SECRET.fullmatch(previous)
  if before and not previous.endswith("=") and not word.startswith("-"):
    return _HIDDEN

  def strip(url: re.Match[str]) -> str:
    return repository.without_credentials(url[0]) or _HIDDEN

  return _URL.sub(strip, word)


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
