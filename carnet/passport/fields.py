"""What all parts of the schema are made of: a strict base, and plain types."""

from typing import Annotated, Any

import pydantic

LARGEST_INTEGER = 2**53 - 1  # beyond it, readers of JSON round
LARGEST_TEXT = 1 << 16


class Model(pydantic.BaseModel):
  """A part of a passport: no unknown field, no conversion, no change."""

  model_config = pydantic.ConfigDict(
    extra="forbid",
    strict=True,
    frozen=True,
    allow_inf_nan=False,
    defer_build=True,  # to its first use: building all takes half an import
  )


def _relative(path: str) -> str:
  """Refuses what could lead out of the checkpoint, on any system."""
  names = path.split("/")
  unsound = any(name in ("", ".", "..") for name in names)
  if unsound or "\\" in path or ":" in names[0] or not path.isprintable():
    raise ValueError(
      "is no relative path with '/' between printable names, none of them "
      "'.' or '..'"
    )
  return path


Sha256 = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[
  str, pydantic.Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
]
Utc = Annotated[
  str,
  pydantic.Field(
    pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$",
    description="RFC 3339, in UTC.",
  ),
]
RelativePath = Annotated[
  str,
  pydantic.Field(min_length=1, max_length=512),
  pydantic.AfterValidator(_relative),
]
Text = Annotated[str, pydantic.Field(max_length=LARGEST_TEXT)]
Name = Annotated[str, pydantic.Field(min_length=1, max_length=512)]
Count = Annotated[int, pydantic.Field(ge=0, le=LARGEST_INTEGER)]
Positive = Annotated[int, pydantic.Field(ge=1, le=LARGEST_INTEGER)]
Shape = tuple[Count, ...]
Numbers = tuple[float, ...]
Json = Any  # as JSON has it; `carnet.passport.strict_json` bounds it
