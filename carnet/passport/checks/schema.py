"""The passport as a document."""

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import context, migrations, outcome, shown, strict_json

_NEW = "generate-passport writes a new one"


def json_limits(found: context.Context) -> outcome.Finding:
  """Pass: JSON within size and depth, no key twice, no NaN. Fail: else."""
  try:
    strict_json.decode(found.passport_bytes, directory.PASSPORT)
  except errors.UserError as error:
    return outcome.failed(str(error), directory.PASSPORT, remedy=_NEW)
  return outcome.passed(f"{len(found.passport_bytes)} bytes")


def schema_version_supported(found: context.Context) -> outcome.Finding:
  """Pass: this program reads the version of the schema. Fail: another one."""
  try:
    document = strict_json.decode(found.passport_bytes, directory.PASSPORT)
  except errors.UserError as error:
    return outcome.failed(str(error), directory.PASSPORT, remedy=_NEW)
  present = document.get("schema_version") if type(document) is dict else None
  if present not in migrations.KNOWN:
    return outcome.failed(
      f"schema_version is {shown.cut(repr(present))}",
      "/schema_version",
      ", ".join(migrations.KNOWN),
      shown.cut(repr(present)),
      "install the carnet that wrote it",
    )
  return outcome.passed(str(present))


def schema_valid(found: context.Context) -> outcome.Finding:
  """Pass: all fields are there, of their types, none unknown. Fail: else."""
  try:
    version = found.passport.schema_version
  except errors.UserError as error:
    return outcome.failed(str(error), directory.PASSPORT, remedy=_NEW)
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
  "schema",
  hard=(json_limits, schema_version_supported, schema_valid),
  soft=(generator_present,),
)
