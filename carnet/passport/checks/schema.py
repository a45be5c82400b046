"""The passport as a document."""

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import context, outcome, strict_json


def json_limits(found: context.Context) -> outcome.Finding:
  """Pass: JSON within size and depth, no key twice, no NaN. Fail: else."""
  try:
    strict_json.decode(found.passport_bytes, directory.PASSPORT)
  except errors.UserError as error:
    return outcome.failed(
      str(error),
      directory.PASSPORT,
      remedy="generate-passport writes a new one",
    )
  return outcome.passed(f"{len(found.passport_bytes)} bytes")


def schema_valid(found: context.Context) -> outcome.Finding:
  """Pass: all fields are there, of their types, none unknown. Fail: else."""
  try:
    version = found.passport.schema_version
  except errors.UserError as error:
    return outcome.failed(
      str(error),
      directory.PASSPORT,
      remedy="generate-passport writes a new one",
    )
  return outcome.passed(f"schema {version}")


def generator_present(found: context.Context) -> outcome.Finding:
  """Pass: a program wrote it. Soft: nothing says so; hand-written ones err."""
  generator = found.passport.generator
  if generator is None:
    return outcome.failed(
      "nothing tells which program wrote the passport",
      "/generator",
      remedy="generate-passport writes it; do not write one by hand",
    )
  return outcome.passed(f"{generator.name} {generator.version}")


CHECKS = outcome.group(
  "schema", hard=(json_limits, schema_valid), soft=(generator_present,)
)
