"""The contract against the data that the policy was trained on."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from carnet.passport import context, contract, dataset_facts, outcome
from carnet.passport.checks import parts

_DATASET = "dataset.json"
_STATES = ("observation.state", "state")
_ACTIONS = ("action", "actions")
# Statistics of other episodes of one task differ by less; those of absolute
# instead of relative actions, or of another robot, by more.
_FURTHEST_MEAN = 0.5  # standard deviations
_LARGEST_RATIO = 2.0


@parts.with_contract
def input_contract_vs_dataset(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: cameras, sizes, rate and statistics are those of the dataset.

  Fail: else. Not checked: no --dataset-path.
  """
  path = found.options.dataset_path
  if path is None:
    return outcome.not_checked("no dataset given", "--dataset-path DIRECTORY")
  facts, renamed = dataset_facts.read(path), _renamed(found)
  faults = [
    *_cameras(needed, facts, renamed),
    *_vectors(found, needed, facts, renamed),
    *_rate(needed, facts),
  ]
  return outcome.first(
    faults,
    f"{len(needed.images)} cameras and {len(facts.vectors)} vectors of "
    f"{facts.source}",
  )


def _renamed(found: context.Context) -> dict[str, str]:
  """Returns the policy's name of a feature -> its name in the dataset."""
  if not os.path.lexists(found.path / _DATASET):
    return {}
  described = found.json(_DATASET)
  names = described.get("names") if isinstance(described, dict) else None
  if not isinstance(names, dict):
    return {}
  return {k: v for k, v in names.items() if isinstance(v, str)}


def _cameras(
  needed: contract.InputContract,
  facts: dataset_facts.Facts,
  renamed: Mapping[str, str],
) -> Iterator[outcome.Finding]:
  for index, image in enumerate(needed.images):
    where = f"/input_contract/images/{index}"
    theirs = renamed.get(image.key, image.short_key)
    names = (
      *(theirs, theirs.removeprefix(dataset_facts.PICTURES), image.short_key),
      *(image.key, image.key.rpartition("/")[2]),
    )
    shapes = [facts.cameras[name] for name in names if name in facts.cameras]
    if not shapes:
      yield outcome.failed(
        f"the dataset has no camera '{image.short_key}'",
        f"{where}/short_key",
        ", ".join(sorted(facts.cameras)),
        image.short_key,
        "give the dataset of the training, or generate the passport again",
      )
    elif image.resize is None and shapes[0] != image.shape:
      yield outcome.failed(
        f"'{image.short_key}' is {list(shapes[0])} in the dataset, "
        f"{list(image.shape)} in the contract, and nothing resizes it",
        f"{where}/shape",
        list(shapes[0]),
        list(image.shape),
        parts.GENERATE,
      )


def _vectors(
  found: context.Context,
  needed: contract.InputContract,
  facts: dataset_facts.Facts,
  renamed: Mapping[str, str],
) -> Iterator[outcome.Finding]:
  width = parts.raw_width(needed.state)

  def called(*usual: str) -> tuple[str, ...]:
    return (*(renamed[x] for x in usual if x in renamed), *usual)

  rows: list[tuple[str, tuple[str, ...], int]] = [
    ("actions", called(*_ACTIONS), needed.actions.dim)
  ]
  if width:
    rows.append(("state", called(*_configured(found), *_STATES), width))
  for part, names, size in rows:
    present = [name for name in names if name in facts.vectors]
    where = f"/input_contract/{part}"
    if not present:
      yield outcome.failed(
        f"the dataset has no vector for the {part}",
        where,
        ", ".join(names),
        ", ".join(sorted(facts.vectors)),
        "give the dataset of the training",
      )
      continue
    name = present[0]
    if facts.vectors[name] != size:
      yield outcome.failed(
        f"'{name}' has {facts.vectors[name]} numbers in the dataset, {size} in "
        "the contract",
        f"{where}/dim",
        facts.vectors[name],
        size,
        parts.GENERATE,
      )
      continue
    spec = needed.actions if part == "actions" else needed.state
    yield from _statistics(found, spec.normalization, where, name, facts)


def _configured(found: context.Context) -> tuple[str, ...]:
  """Returns the name of the state's vector in a configuration of ours."""
  config = found.json(found.passport.provenance.config_path)
  section: Any = config.get("dataset") if isinstance(config, dict) else None
  name = section.get("state") if isinstance(section, dict) else None
  return (name,) if isinstance(name, str) and name else ()


def _statistics(
  found: context.Context,
  spec: contract.NormSpec | None,
  where: str,
  name: str,
  facts: dataset_facts.Facts,
) -> Iterator[outcome.Finding]:
  """Compares the policy's statistics with the dataset's, dimension-wise."""
  moments = facts.moments(name)
  if spec is None or spec.stats_fingerprint is None or moments is None:
    return
  block = parts.block(found, spec.stats_fingerprint)
  if not {"mean", "std"} <= block.keys():
    return
  label = f"{spec.stats_fingerprint.file}/{spec.stats_fingerprint.key}"
  mean, std = (parts.numbers(block, x, label) for x in ("mean", "std"))
  if mean.shape != moments[0].shape or std.shape != mean.shape:
    return  # `norm_stats_cover_features` tells of it
  scale = np.maximum(moments[1], 1e-6)
  moved = np.abs(mean - moments[0]) > _FURTHEST_MEAN * scale
  ratio = np.maximum(std, 1e-6) / scale
  wider = np.maximum(ratio, 1 / ratio) > _LARGEST_RATIO
  wrong = np.flatnonzero(moved | wider)
  if wrong.size:
    one = int(wrong[0])
    yield outcome.failed(
      f"{label} is not of '{name}' in the dataset: {wrong.size} of {mean.size} "
      "dimensions differ",
      f"{where}/normalization/stats_fingerprint",
      f"mean {moments[0][one]:.4g}, std {moments[1][one]:.4g}",
      f"mean {mean[one]:.4g}, std {std[one]:.4g} in dimension {one}",
      "train with statistics of the actions as the policy gives them, relative "
      "or absolute",
    )


def _rate(
  needed: contract.InputContract, facts: dataset_facts.Facts
) -> Iterator[outcome.Finding]:
  rate = needed.temporal.control_hz
  if rate is None or facts.control_hz is None:
    return
  if not np.isclose(rate, facts.control_hz, rtol=1e-3):
    yield outcome.failed(
      f"the dataset has {facts.control_hz:g} frames a second, the contract "
      f"{rate:g}",
      "/input_contract/temporal/control_hz",
      facts.control_hz,
      rate,
      parts.GENERATE,
    )
