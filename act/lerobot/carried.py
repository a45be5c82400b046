"""What carnet.json tells of a policy that was exported by this program.

Anybody may have written the file, and nothing proves what it says: its texts
are limited and cleaned, and whatever comes from it is marked with its name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from act.lerobot import locating, provenance, reading
from carnet import errors, repository, terminal
from carnet.checkpoint import lineage
from carnet.passport import shown

_LARGEST_BYTES = 1 << 22
_MOST_PARENTS = 64
_MOST_FILES = 256  # of one parent
_LAST_EPISODE = 10**7
_WEIGHTS = f"pretrained_model/{locating.WEIGHTS}"


_CLEANED = pydantic.AfterValidator(terminal.printable)
_Name = Annotated[str, pydantic.Field(max_length=256), _CLEANED]
_Text = Annotated[str, pydantic.Field(max_length=4096), _CLEANED]
_Count = Annotated[int, pydantic.Field(ge=0, lt=1 << 53)]
_Episodes = Annotated[
  list[Annotated[int, pydantic.Field(ge=0, lt=_LAST_EPISODE)]],
  pydantic.Field(max_length=1 << 18),
]
_Names = Annotated[dict[_Name, _Name], pydantic.Field(max_length=_MOST_FILES)]


class _Part(pydantic.BaseModel):
  model_config = pydantic.ConfigDict(strict=True, frozen=True)


class _Parent(_Part):
  """An entry of `carnet.checkpoint.lineage`."""

  model_config = pydantic.ConfigDict(extra="forbid")
  path: _Text
  step: _Count | None
  relation: Literal["import"] | None = None
  format: _Name | None = None
  files: Annotated[
    dict[_Name, repository.Sha256], pydantic.Field(max_length=_MOST_FILES)
  ] = {}
  manifest_sha256: repository.Sha256 | None = None
  passport_sha256: repository.Sha256 | None = None
  tree_sha256: repository.Sha256 | None = None
  taken_tree_sha256: repository.Sha256 | None = None
  components: Annotated[
    list[_Name] | None, pydantic.Field(max_length=_MOST_FILES)
  ] = None
  regex: _Text | None = None
  rename: _Names = {}
  exclude: _Text | None = None
  told_by: _Name | None = None


class _Skipped(_Part):
  episode: Annotated[int, pydantic.Field(ge=0, lt=_LAST_EPISODE)]
  reason: _Text


class _Data(_Part):
  identity: _Name | None = None
  revision: _Name | None = None
  training_episodes: _Episodes | None = None
  held_out_episodes: _Episodes = []
  excluded_episodes: _Episodes = []
  skipped: Annotated[list[_Skipped], pydantic.Field(max_length=1 << 16)] = []


class _Document(_Part):
  format: Literal["carnet-lerobot-export"]
  format_version: Literal[1]
  step: _Count
  sha256: Annotated[
    dict[_Name, repository.Sha256], pydantic.Field(max_length=_MOST_FILES)
  ]
  lineage: Annotated[list[_Parent], pydantic.Field(max_length=_MOST_PARENTS)]
  dataset: _Data
  files: Annotated[
    dict[_Name, repository.Sha256], pydantic.Field(max_length=_MOST_FILES)
  ]


@dataclasses.dataclass(frozen=True)
class Carried:
  """What carnet.json says of a policy; nothing, where there is none.

  Attributes:
    lineage: entries of the manifest, oldest first, each `told_by` the file.
    identity, revision: of the data.
    split: of run_context.json's dataset.
    skipped: rows of dataset.json.
    checkpoint: step and digests of what was exported.
    notes: what a person should know, a line each.
  """

  lineage: tuple[Mapping[str, Any], ...] = ()
  identity: str | None = None
  revision: str | None = None
  split: dict[str, Any] | None = None
  skipped: tuple[Mapping[str, Any], ...] = ()
  checkpoint: Mapping[str, Any] | None = None
  notes: tuple[str, ...] = ()


def read(files: reading.Files) -> Carried:
  """Returns what the file says, if its weights are those that were read.

  Args:
    files: of the policy, the weights read already.

  Raises:
    UserError: it is there, and not as an export writes it.
  """
  if not files.has(provenance.NAME):
    return Carried()
  where = f"{files.directory / provenance.NAME}"
  try:
    found = _Document.model_validate(
      files.json(provenance.NAME, _LARGEST_BYTES)
    )
  except pydantic.ValidationError as error:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    raise errors.UserError(
      f"{where} is not as this program writes it: {shown.cut(place)}: "
      f"{shown.cut(first['msg'])}; without the file the policy is imported, "
      "and its origin is lost"
    ) from error
  if found.files.get(_WEIGHTS) != files.digests[locating.WEIGHTS]:
    note = (
      f"{provenance.NAME} is of other weights than {locating.WEIGHTS}: nothing "
      "of it is taken over"
    )
    return Carried(notes=(note,))
  return _carried(found)


def _carried(found: _Document) -> Carried:
  data = found.dataset
  split: dict[str, Any] | None = None
  if data.training_episodes is not None:
    split = {
      "training_episodes": data.training_episodes,
      "validation_episodes": data.held_out_episodes,
      "excluded_episodes": data.excluded_episodes,
    }
  return Carried(
    lineage=tuple(
      {
        **parent.model_dump(mode="json", exclude_unset=True),
        lineage.TOLD_BY: provenance.NAME,
      }
      for parent in found.lineage
    ),
    identity=data.identity,
    revision=data.revision,
    split=split,
    skipped=tuple(row.model_dump() for row in data.skipped),
    checkpoint={"step": found.step, "sha256": dict(found.sha256)},
    notes=(
      f"as {provenance.NAME} says, it was step {found.step} of a run on "
      f"{data.identity or 'unnamed data'}, revision "
      f"{data.revision or 'unknown'}, with {len(found.lineage)} ancestors",
    ),
  )
