"""The static half of a passport: what files and repositories tell.

Nothing is guessed. What files do not tell stays None, and `gaps` says who can.
"""

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import carnet
from carnet import errors, run_context
from carnet.checkpoint import directory
from carnet.passport import context, family, history, model, schema
from carnet.passport.static import files, given, internals, provenance


def make(
  path: pathlib.Path, told: given.Given, described: family.Description
) -> schema.Passport:
  """Returns the passport of a checkpoint, as far as its files tell.

  Args:
    path: a step directory, or that of another program.
    told: what the caller tells.
    described: of `describe`.

  Raises:
    UserError: no config.json, a dirty repository, or facts that contradict
      each other.
  """
  options = context.Options(show_progress=told.show_progress)
  found = context.Context(path, options)
  config = _config(found)
  launch = run_context.read(path)
  return schema.Passport(
    schema_version="1.0",
    generator=generator(told.argv),
    family=_family_name(described),
    input_contract=described.input_contract,
    model_identity=internals.identity(described, launch),
    model_internals=internals.internals(found, described),
    output_spec=model.OutputSpec(
      inference_parameters=described.inference_parameters,
      smoke_results=None,
    ),
    weight_integrity=history.WeightIntegrity(
      hash_algorithm="sha256",
      weight_files=files.files(found, described.roles, described.needed),
      checkpoint_format=files.checkpoint_format(found, described.needed),
    ),
    provenance=provenance.provenance(found, told, config, launch),
    transform_pipeline=described.transform_pipeline,
    reference_test_vector=None,
    norm_round_trip_results=None,
    known_issues=told.known_issues,
  )


def generator(argv: Sequence[str]) -> schema.Generator:
  """Returns who writes the passport, and when."""
  return schema.Generator(
    name="carnet generate-passport",
    version=carnet.__version__,
    argv=tuple(argv),
    created_utc=now(),
  )


def now() -> str:
  """Returns the time as RFC 3339 in UTC, to the second."""
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _config(found: context.Context) -> dict[str, Any]:
  if not (found.path / files.CONFIG).exists():
    raise errors.UserError(
      f"{found.path} has no {files.CONFIG}: scripts/dump_config.py --entry="
      f"module:function {found.path} writes it"
    )
  config = found.json(files.CONFIG)
  if not isinstance(config, dict):
    raise errors.UserError(f"{files.CONFIG} is no JSON object")
  return config


def describe(path: pathlib.Path) -> family.Description:
  """Returns what the family of a checkpoint tells of it, or its config.json.

  Raises:
    UserError: there is no config.json, or it is unsound.
  """
  found = context.Context(path)
  config = _config(found)
  known = family.find(config)
  return known.describe(path) if known else family.foreign(config)


def _family_name(described: family.Description) -> Any:
  return described.name if described.name in schema.FAMILIES else "other"


def resolve(path: pathlib.Path) -> pathlib.Path:
  """Returns the directory that gets a passport: a step, or a foreign one.

  Raises:
    UserError: neither is there.
  """
  if (path / files.CONFIG).exists() and not (path / directory.STEPS).is_dir():
    return path
  return directory.resolve(path)
