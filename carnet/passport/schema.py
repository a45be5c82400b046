"""`MODEL_PASSPORT.json` and `SIGNOFF.json`: every field, type and convention.

The parts stand in `contract`, `model`, `history` and `steps`. JSON is written
with sorted keys, and digests are of the bytes on the disk.

    python -m carnet.passport.schema docs      # publishes the JSON Schemas
"""

import json
import pathlib
import sys
from typing import Any, Literal, TypeVar

import pydantic

from carnet import errors
from carnet.passport import (
  contract,
  fields,
  history,
  migrations,
  model,
  steps,
  strict_json,
)

SCHEMA_VERSION = "1.0"
FAMILIES = ("act", "dreamerv3", "other")


class Generator(fields.Model):
  """The program that wrote the passport; nobody writes one by hand."""

  name: fields.Name
  version: fields.Name
  argv: tuple[fields.Text, ...]
  created_utc: fields.Utc


class Passport(fields.Model):
  """The chain of custody of a checkpoint, from sensor to action.

  What could not be found out is None: `carnet.passport.gaps` says who can.
  """

  schema_version: Literal["1.0"]
  generator: Generator | None
  family: Literal["act", "dreamerv3", "other"]
  input_contract: contract.InputContract | None
  model_identity: model.ModelIdentity
  model_internals: model.ModelInternals
  output_spec: model.OutputSpec
  weight_integrity: history.WeightIntegrity
  provenance: history.Provenance
  transform_pipeline: tuple[steps.TransformStep, ...]
  reference_test_vector: history.ReferenceVector | None
  norm_round_trip_results: tuple[history.RoundTrip, ...] | None
  known_issues: tuple[history.KnownIssue, ...]


class Signed(fields.Model):
  """A file as it was when the checkpoint was signed."""

  path: fields.RelativePath
  sha256: fields.Sha256
  size_bytes: fields.Count


class Validator(fields.Model):
  """The program that reached the verdict."""

  name: fields.Name
  version: fields.Name
  platform: fields.Name


class SignOff(fields.Model):
  """A verdict over a passport and the files that it declares."""

  schema_version: Literal["1.0"]
  passport_sha256: fields.Sha256
  files: tuple[Signed, ...]
  tree_digest_root: fields.Sha256 | None
  verdict: Literal["pass", "soft_signal", "fail"]
  reason: fields.Text
  accepted_soft_checks: tuple[fields.Name, ...]
  not_checked: tuple[fields.Name, ...]
  validator: Validator
  signed_utc: fields.Utc
  signer: fields.Text | None = None
  signature_file: fields.RelativePath | None = None


_Part = TypeVar("_Part", bound=fields.Model)


def decode(content: bytes, where: str) -> Passport:
  """Returns the passport in `content`, which messages call `where`.

  Raises:
    UserError: not JSON within the limits, of an unknown version, or not as the
      schema has it; the message names every field.
  """
  found = strict_json.decode(content, where)
  return _validate(Passport, migrations.upgrade(found, where), where)


def decode_signoff(content: bytes, where: str) -> SignOff:
  """Returns the sign-off in `content`; UserError as `decode`."""
  return _validate(SignOff, strict_json.decode(content, where), where)


def decode_part(kind: type[_Part], content: bytes, where: str) -> _Part:
  """Returns the part of a passport in `content`; UserError as `decode`."""
  return _validate(kind, strict_json.decode(content, where), where)


def encode(document: Passport | SignOff) -> bytes:
  """Returns the bytes of the file: sorted keys, two spaces, a last newline."""
  found = document.model_dump(mode="json")
  text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False)
  return text.encode() + b"\n"


def read(path: pathlib.Path) -> Passport:
  """Returns the passport in a file; UserError when it is none."""
  return decode(strict_json.read(path), str(path))


def json_schema() -> dict[str, Any]:
  """Returns the JSON Schema (2020-12) of a passport."""
  return {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:carnet:passport:{SCHEMA_VERSION}",
    **Passport.model_json_schema(mode="validation"),
  }


def signoff_json_schema() -> dict[str, Any]:
  """Returns the JSON Schema (2020-12) of a sign-off."""
  return {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:carnet:signoff:{SCHEMA_VERSION}",
    **SignOff.model_json_schema(mode="validation"),
  }


def _validate(kind: type[_Part], found: Any, where: str) -> _Part:
  try:
    # strict types are those of JSON, where a tuple is written as an array
    return kind.model_validate_json(json.dumps(found))
  except pydantic.ValidationError as error:
    raise errors.UserError(f"{where}: {faults(error)}") from error


def faults(error: pydantic.ValidationError) -> str:
  """Returns all that is wrong, each with its JSON pointer."""
  rows = error.errors(include_url=False, include_input=False)
  return "; ".join(
    f"/{'/'.join(map(str, row['loc']))}: {row['msg']}" for row in rows
  )


def publish(folder: pathlib.Path) -> None:
  """Writes the JSON Schemas of both documents."""
  documents = {
    "passport.schema.json": json_schema(),
    "signoff.schema.json": signoff_json_schema(),
  }
  for name, found in documents.items():
    text = json.dumps(found, indent=2, sort_keys=True)
    (folder / name).write_text(text + "\n")


if __name__ == "__main__":
  publish(pathlib.Path(sys.argv[1]))
