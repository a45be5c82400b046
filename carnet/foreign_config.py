"""`config.json` and `run_context.json` for checkpoints of other programs.

Their configuration lives in code. A fresh process of their own environment
makes it (`carnet.config_program`); the module that it imports is named by the
user and never by a file.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from carnet import (
  config_process,
  errors,
  launch,
  repository,
  run_context,
  search_path,
)
from carnet.checkpoint import directory, documents, manifest
from carnet.passport import strict_json

CONFIG = "config.json"
_NAME = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Request:
  """What the user says of a checkpoint.

  Attributes:
    entry: "module:function" that returns the configuration.
    python: the interpreter of its environment.
    model_class: "module:Class", or "".
    training_repo: where the training code lies; else the entry's repository.
    datasets: "ID@REVISION" each, or "ID".
    loader_classes: what reads each of the datasets, or none.
    run_log: URL, or a Markdown file in the checkpoint, or "".
    overrides: "key.of.config=value" each, the value in JSON or plain text.
  """

  entry: str
  python: str = sys.executable
  model_class: str = ""
  training_repo: pathlib.Path | None = None
  datasets: Sequence[str] = ()
  loader_classes: Sequence[str] = ()
  run_log: str = ""
  overrides: Sequence[str] = ()


def dump(
  path: pathlib.Path, request: Request, overwrite: bool = False
) -> run_context.Context:
  """Writes both files into a checkpoint directory; returns what is in one.

  Raises:
    UserError: the directory or a part of the request is unfit; then nothing
      is written.
  """
  _check_place(path, overwrite)
  _check_names(request)
  told = {
    "run_log": _run_log(path, request.run_log),
    "datasets": _datasets(request),
    "training_repository": _named_repository(request),
  }
  search_path.check(path, request.training_repo or pathlib.Path.cwd())
  found = config_process.ask(
    *(request.python, request.entry, request.model_class),
    request.training_repo,
  )
  config = found["config"]
  for text in request.overrides:
    config_process.override(config, text)
  context = _context(request, found, told)
  _write(path, {CONFIG: config, run_context.NAME: context.to_json()})
  return context


def unknown(context: run_context.Context) -> list[str]:
  """Returns what is still unknown, each with the flag that tells it."""
  data = context.datasets
  lacking = {
    "commit of the training code (--training_repo)": (
      context.training_repository.commit is None
    ),
    "datasets (--dataset)": not data,
    "revisions of datasets (--dataset=ID@REVISION)": any(
      x.revision is None for x in data
    ),
    "loaders of datasets (--loader_class)": any(
      x.loader_class is None for x in data
    ),
    "class of the model (--class)": context.model is None,
    "log of the run (--run_log)": context.run_log is None,
  }
  return [name for name, lacks in lacking.items() if lacks]


def _check_place(path: pathlib.Path, overwrite: bool) -> None:
  if not path.is_dir():
    raise errors.UserError(f"{path} is no directory: give a checkpoint's")
  steps = [*directory.numbered(path), *directory.numbered(path / "checkpoints")]
  if any(map(_is_ours, (path, *steps))):
    raise errors.UserError(
      f"{path} is a checkpoint of carnet's own training, which has written "
      f"{CONFIG} and {run_context.NAME} into it: there is nothing to do"
    )
  names = (CONFIG, run_context.NAME)
  present = [name for name in names if os.path.lexists(path / name)]
  if present and not overwrite:
    raise errors.UserError(
      f"{path} has {' and '.join(present)} already: --overwrite replaces them"
    )


def _is_ours(path: pathlib.Path) -> bool:
  """Tells by the manifest, damaged ones included."""
  with contextlib.suppress(OSError), (path / manifest.NAME).open("rb") as file:
    return manifest.FORMAT.encode() in file.read(1000)
  return False


def _check_names(request: Request) -> None:
  names = {"entry": request.entry}
  if request.model_class:
    names["class"] = request.model_class
  for flag, name in names.items():
    if not _NAME.fullmatch(name):
      raise errors.UserError(
        f"--{flag}={name}: give module:name, such as my_package.config:get"
      )


def _run_log(path: pathlib.Path, given: str) -> str | None:
  if not given:
    return None
  if given.startswith(("http://", "https://")):
    if "@" in urllib.parse.urlsplit(given).netloc:
      raise errors.UserError("--run_log has credentials: leave them out")
    return given
  inside = (path / given).resolve()
  if (
    not given.endswith(".md")
    or not inside.is_relative_to(path.resolve())
    or not inside.is_file()
  ):
    raise errors.UserError(
      f"--run_log={given}: give an http(s) address, or the name of a .md file "
      f"that lies in {path}"
    )
  return inside.relative_to(path.resolve()).as_posix()


def _named_repository(request: Request) -> repository.Repository | None:
  if request.training_repo is None:
    return None
  found = repository.of_directory(request.training_repo)
  if found.commit is None:
    raise errors.UserError(
      f"--training_repo={request.training_repo} is no git repository with a "
      "commit"
    )
  return found


def _datasets(request: Request) -> tuple[run_context.Dataset, ...]:
  loaders: Sequence[str | None] = request.loader_classes
  if not loaders:
    loaders = [None] * len(request.datasets)
  if len(loaders) != len(request.datasets):
    raise errors.UserError(
      f"{len(loaders)} times --loader_class for {len(request.datasets)} "
      "times --dataset: give one each, in order"
    )
  found = []
  for text, loader in zip(request.datasets, loaders, strict=True):
    name, _, revision = text.partition("@")
    if not name or text.endswith("@"):
      raise errors.UserError(f"--dataset={text}: give ID@REVISION")
    found.append(
      run_context.Dataset(
        id=name,
        kind="dataset",
        revision=revision or None,
        loader_class=loader or None,
      )
    )
  return tuple(found)


def _context(
  request: Request, found: Mapping[str, Any], told: Json
) -> run_context.Context:
  """Returns what is known; of the launch itself, nothing is."""
  file = found["file"] and pathlib.Path(found["file"])
  place = request.training_repo or (file and file.parent)
  code = told.pop("training_repository")
  if code is None:
    code = repository.of_package(file) if file else repository.Repository()
  config = found["jax_config"]
  return run_context.Context(
    captured_at_launch=False,
    run_id=None,
    started_utc=None,
    argv=None,
    training_repository=code,
    model=_model(request),
    pretrained=None,
    libraries=found["libraries"],
    environment=run_context.Environment(
      python=found["python"],
      platform=found["platform"],
      device_kind=None,
      device_count=None,
      lock_file_sha256=launch.lock_sha256(code, place) if place else None,
      jax_config=run_context.JaxConfig(**config) if config else None,
      pythonpath=launch.search_path(),
    ),
    dumped_from=run_context.Entry(
      entry=request.entry, overrides=tuple(request.overrides)
    ),
    **told,
  )


def _model(request: Request) -> run_context.Model | None:
  if not request.model_class:
    return None
  module, _, name = request.model_class.partition(":")
  home = request.entry.partition(":")[0]
  return run_context.Model(
    class_name=name, class_module=module, config_module=home
  )


def _encode(value: Any, name: str) -> bytes:
  """Returns JSON that those who issue and check passports will take."""
  content = documents.encode(value, name)
  strict_json.decode(content, name, documents.LARGEST_BYTES)
  return content


def _write(path: pathlib.Path, files: Mapping[str, Any]) -> None:
  """Writes all files beside their places, then renames them."""
  drafts = {}
  contents = {name: _encode(value, name) for name, value in files.items()}
  try:
    for name, content in contents.items():
      draft = path / f".{name}.{os.getpid()}.tmp"
      drafts[draft] = path / name
      with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    for draft, place in drafts.items():
      draft.replace(place)
    directory.synchronize(path)
  except OSError as error:
    raise errors.UserError(
      f"cannot write into {path}: {error.strerror}"
    ) from error
  finally:
    for draft in drafts:
      draft.unlink(missing_ok=True)
