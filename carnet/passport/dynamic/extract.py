"""Runs a policy and writes down what it told: the program of a fresh process.

python -m carnet.passport.dynamic.extract DIRECTORY DRAFT OUTPUT
"""

import argparse
import dataclasses
import functools
import importlib
import pathlib
import sys

import numpy as np

from carnet import errors, terminal, xla_flags
from carnet.checkpoint import digest, manifest
from carnet.passport import context, measured, prepared, schema
from carnet.passport.dynamic import (
  environment,
  internals,
  parent,
  reference,
  round_trip,
  smoke,
)
from carnet.passport.dynamic import subject as subject_lib
from carnet.passport.static import source


def measure(
  path: pathlib.Path,
  draft: schema.Passport,
  output: pathlib.Path,
  entry: str | None = None,
  dataset_path: pathlib.Path | None = None,
  again: bool = False,
) -> measured.Measured:
  """Returns what running the policy of a checkpoint tells.

  Writes reference frames and answers below `output`, as the checkpoint will
  have them.

  Args:
    path: the checkpoint.
    draft: its passport, or what is known of it so far.
    output: a directory.
    entry: "module:function", for a policy of another program.
    dataset_path: the demonstrations, if they moved.
    again: ask for answers to the reference frames that are there already.

  Raises:
    UserError: nobody knows how to run it, or it does not run.
  """
  fed = draft.input_contract
  if fed is None:
    raise errors.UserError(
      "the input contract is not known, so nothing can be fed: let the "
      "configuration tell it (docs/passport.md, foreign checkpoints)"
    )
  config = context.Context(path).json("config.json")
  examine = subject_lib.find(str(config.get("agent")), entry)
  if examine is None:
    raise errors.UserError(
      "nobody here knows how to run this policy: give --entry=module:function, "
      "which returns a carnet.passport.dynamic.subject.Subject"
    )
  subject = examine(path, draft.transform_pipeline, dataset_path)
  if again:
    frames = functools.partial(_stored, path, draft)
    subject = dataclasses.replace(subject, frames=frames)
  return measured.Measured(
    code=source.present(draft.model_identity.class_module),
    library_versions=environment.library_versions(),
    jax_config=environment.jax_config(),
    environment=environment.describe(path),
    module_hierarchy=internals.hierarchy(subject.params),
    leaves=tuple(_leaves(subject)),
    state_dict=internals.state_dict(subject),
    numerical_health=internals.health(subject),
    smoke_results=smoke.run(subject, fed.actions),
    reference_test_vector=reference.write(output, subject, fed),
    norm_round_trip_results=round_trip.run(path, draft, subject),
  )


def _stored(
  path: pathlib.Path, passport: schema.Passport, count: int
) -> subject_lib.Frames:
  """Returns the reference frames of a checkpoint."""
  vector = passport.reference_test_vector
  assert vector is not None
  assert passport.input_contract is not None
  arrays = prepared.observations(
    context.Context(path), passport.input_contract, vector
  )
  rows = range(min(count, vector.n_frames))
  return subject_lib.Frames(
    vector.source_dataset,
    vector.episode,
    tuple({name: x[row] for name, x in arrays.items()} for row in rows),
  )


def _leaves(subject: subject_lib.Subject) -> list[manifest.Leaf]:
  found = []
  for path, array in sorted(subject.params.items()):
    plain = np.ascontiguousarray(array)
    row = manifest.Leaf(
      path, plain.shape, plain.dtype.name, plain.nbytes, digest.leaf(plain)
    )
    found.append(row)
  return found


def main(words: list[str]) -> None:
  """Measures and writes `measured.Measured` as JSON."""
  xla_flags.check()
  parser = argparse.ArgumentParser()
  parser.add_argument("directory", type=pathlib.Path)
  parser.add_argument("draft", type=pathlib.Path)
  parser.add_argument("output", type=pathlib.Path)
  parser.add_argument("--entry")
  parser.add_argument("--dataset_path", type=pathlib.Path)
  parser.add_argument("--again", action="store_true")
  parser.add_argument("--import", dest="modules", action="append", default=[])
  given = parser.parse_args(words)
  for name in given.modules:
    importlib.import_module(name)
  draft = schema.read(given.draft)
  found = measure(
    given.directory,
    draft,
    given.output,
    given.entry,
    given.dataset_path,
    given.again,
  )
  (given.output / measured.NAME).write_text(found.model_dump_json())


if __name__ == "__main__":
  parent.follow()
  try:
    main(sys.argv[1:])
  except errors.UserError as error:
    sys.stderr.write(terminal.printable(" ".join(str(error).split())) + "\n")
    sys.exit(2)
