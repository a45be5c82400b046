"""Parts of a checkpoint's JSON files, checked before anything looks at them."""

import json
from typing import Annotated, TypeVar

import pydantic

from carnet import errors
from carnet.checkpoint import digest, documents
from carnet.passport import context, schema, strict_json

LARGEST_SIZE = 1 << 16  # of a vector, or classes: a file must not size a list


class Excerpt(pydantic.BaseModel):
  """Keys of a document that matter here; others may be there too."""

  model_config = pydantic.ConfigDict(
    extra="ignore",
    strict=True,
    frozen=True,
    allow_inf_nan=False,
    defer_build=True,
  )


Size = Annotated[int, pydantic.Field(ge=0, le=LARGEST_SIZE)]
Positive = Annotated[int, pydantic.Field(ge=1, le=LARGEST_SIZE)]
Text = Annotated[str, pydantic.Field(max_length=512)]
Name = Annotated[str, pydantic.Field(min_length=1, max_length=256)]

_Part = TypeVar("_Part", bound=Excerpt)


def read(found: context.Context, name: str, kind: type[_Part]) -> _Part:
  """Returns what `kind` names of a JSON file of the checkpoint.

  Raises:
    UserError: the file is not there or unsound, or a key is absent or of
      another type.
  """
  document = found.json(name)
  try:
    # strict types are those of JSON, where a tuple is written as an array
    return kind.model_validate_json(json.dumps(document))
  except pydantic.ValidationError as error:
    raise errors.UserError(f"{name}: {schema.faults(error)}") from error


def sha256(found: context.Context, name: str) -> str:
  """Returns the digest of a small file of the checkpoint.

  Raises:
    UserError: it is not there, too large, or behind a link.
  """
  content = strict_json.read(found.inside(name), documents.LARGEST_BYTES)
  return digest.data(content)
