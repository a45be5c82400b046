"""`run_context.json`: what only the start of a training run knows.

Captured before the first step (`carnet.launch`) and attached to every
checkpoint: code, data, model, versions, command. A resumption keeps these facts
and adds its own, so that code which changed in mid-run is seen. What nobody
knows is null; a passport is made from what is here and never from a guess.

This file imports no JAX.
"""

import os
import pathlib
from typing import Annotated, Any, Literal

import pydantic

from carnet import errors, repository
from carnet.checkpoint import documents, plain_file

NAME = "run_context.json"
_LARGEST_BYTES = 8 << 20
Name = Annotated[str, pydantic.Field(min_length=1)]


class _Part(pydantic.BaseModel):
  model_config = pydantic.ConfigDict(
    extra="forbid",
    strict=True,
    frozen=True,
    allow_inf_nan=False,
    defer_build=True,  # to its first use
  )


class Dataset(_Part):
  """What was trained on: recorded data, or an environment.

  Attributes:
    id: the name of the data or the task.
    kind: which of the two.
    revision: digest of the content, or the revision of a data hub.
    env_versions: of the packages that make the environment, or made the data.
    loader_class: dotted path of what reads the data or makes the environment.
    split: episodes, seeds, or how the environment is wrapped.
  """

  id: Name
  kind: Literal["dataset", "environment"]
  revision: Name | None
  env_versions: dict[str, str | None] | None = None
  loader_class: Name | None
  split: dict[str, pydantic.JsonValue] | None = None


class Model(_Part):
  """The class of the model, and the module that has its configuration."""

  class_name: Name
  class_module: Name
  config_module: Name | None


class Pretrained(_Part):
  """Weights of a part of the model that came from a file."""

  submodule: Name
  source_identifier: Name
  source_revision: Name | None
  file_sha256: repository.Sha256 | None


class JaxConfig(_Part):
  """Settings that change numbers, above all the random ones."""

  prng_impl: Name
  threefry_partitionable: bool
  x64: bool
  matmul_precision: Name | None
  xla_flags: str


class Environment(_Part):
  """The machine and the interpreter, as far as they matter to numbers."""

  python: Name | None
  platform: Name | None
  device_kind: Name | None
  device_count: int | None
  lock_file_sha256: repository.Sha256 | None
  jax_config: JaxConfig | None
  pythonpath: tuple[str, ...]


class Resumption(_Part):
  """A later start of the same run, from `step`, perhaps with other code."""

  utc: Name
  step: int
  commit: repository.Commit | None
  dirty: bool | None
  diff_sha256: repository.Sha256 | None
  package: Name | None


class Entry(_Part):
  """How `scripts/dump_config.py` came by the configuration."""

  entry: Name
  overrides: tuple[str, ...]


class Context(_Part):
  """All that was captured.

  Attributes:
    captured_at_launch: False where it was captured later: what is here is then
      of that moment, and the run may have begun with something else.
    run_id: 32 hexadecimal digits, made once a run.
    run_log: a path within the checkpoint, or a URL.
    dumped_from: None in a checkpoint of carnet's own training.
  """

  format: Literal["carnet-run-context"] = "carnet-run-context"
  format_version: Literal[1] = 1
  captured_at_launch: bool
  run_id: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{32}$")] | None
  started_utc: Name | None
  argv: tuple[str, ...] | None
  training_repository: repository.Repository
  datasets: tuple[Dataset, ...]
  model: Model | None
  pretrained: tuple[Pretrained, ...] | None
  libraries: dict[str, str]
  environment: Environment
  run_log: Name | None
  resumptions: tuple[Resumption, ...] = ()
  dumped_from: Entry | None = None

  def to_json(self) -> dict[str, Any]:
    """Returns JSON values; `parse` is the inverse."""
    return self.model_dump(mode="json")


def parse(content: bytes, where: str) -> Context:
  """Returns the context in `content`, which messages call `where`.

  Raises:
    UserError: it is no context that this version can read.
  """
  documents.decode(content, where)  # bounds size and depth
  try:
    return Context.model_validate_json(content)
  except pydantic.ValidationError as error:
    first = error.errors()[0]
    place = "/".join(map(str, first["loc"]))
    raise errors.UserError(
      f"{where} is malformed: {place}: {first['msg']}"
    ) from error


def read(step_directory: pathlib.Path) -> Context | None:
  """Returns the context of a checkpoint, or None where it has none.

  Its digest is not compared: the manifest, or a passport, has it.

  Raises:
    UserError: the file is unsound.
  """
  path = step_directory / NAME
  if not os.path.lexists(path):
    return None
  return parse(plain_file.read(path, _LARGEST_BYTES), str(path))
