"""The numbers behind the normalisations, as people read them."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from carnet import errors, terminal
from carnet.passport import context, contract, schema

COLUMNS = ("mean", "std", "min", "q01", "q99", "max")
_LONGEST = 256  # elements of a feature that are told


@dataclasses.dataclass(frozen=True)
class Feature:
  """Statistics of one feature.

  Attributes:
    key: of the feature in the file.
    file: where they lie.
    names: of the elements, as the contract calls them.
    columns: a number for each element, by the names in COLUMNS; some may lack.
    fault: why there are none.
  """

  key: str
  file: str
  names: tuple[str, ...] = ()
  columns: Mapping[str, tuple[float, ...]] = dataclasses.field(
    default_factory=dict
  )
  fault: str = ""


def features(found: context.Context) -> tuple[Feature, ...]:
  """Returns every feature that the passport's normalisations refer to."""
  try:
    pins = dict(_pins(found.passport))
  except errors.UserError:
    return ()
  return tuple(
    _feature(found, pin, names) for pin, names in sorted(pins.items())
  )


def text(found: context.Context) -> str:
  """Returns tables for a terminal."""
  lines = [""]
  for feature in features(found):
    lines.append(f"{feature.key} in {feature.file}")
    if feature.fault:
      lines.append(f"  {feature.fault}")
      continue
    lines.append(
      "  " + " " * 20 + "".join(f"{name:>12}" for name in feature.columns)
    )
    for index, name in enumerate(feature.names):
      values = (column[index] for column in feature.columns.values())
      cells = "".join(f"{value:>12.5g}" for value in values)
      lines.append(f"  {name[:20]:<20}{cells}")
  return "\n".join(lines) + "\n" if len(lines) > 1 else ""


def _pins(
  passport: schema.Passport,
) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
  """Yields (file, key) of each fingerprint, and names of its elements."""
  for step in passport.transform_pipeline:
    pin = getattr(step.params, "statistics", None)
    if pin is not None:
      yield (pin.file, pin.key), ()
  found = passport.input_contract
  if found is None:
    return
  for image in found.images:
    yield from _pin(image.normalization, ())
  for vector in (found.state, found.actions):
    names = tuple(_names(vector.sub_keys))
    yield from _pin(vector.normalization, names)


def _pin(
  spec: contract.NormSpec | None, names: tuple[str, ...]
) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
  if spec is not None and spec.stats_fingerprint is not None:
    yield (spec.stats_fingerprint.file, spec.stats_fingerprint.key), names


def _names(sub_keys: tuple[contract.SubKey, ...]) -> Iterator[str]:
  for key in sub_keys:
    width = min(key.stop - key.start, _LONGEST)
    yield from (
      key.name if width == 1 else f"{key.name} {index}"
      for index in range(width)
    )


def _feature(
  found: context.Context, pin: tuple[str, str], names: tuple[str, ...]
) -> Feature:
  file, key = pin
  told = Feature(terminal.printable(key), terminal.printable(file))
  try:
    block = found.json(file)
    columns = _columns(block[key])
  except errors.UserError as error:
    return dataclasses.replace(told, fault=terminal.printable(str(error)))
  except (KeyError, TypeError, ValueError, RecursionError):
    return dataclasses.replace(told, fault="the file has no such statistics")
  width = min((len(column) for column in columns.values()), default=0)
  if len(names) != width:
    names = tuple(str(index) for index in range(width))
  return dataclasses.replace(
    told, names=tuple(map(terminal.printable, names)), columns=columns
  )


def _columns(block: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
  found = {
    name: tuple(_flat(block[name]))[:_LONGEST]
    for name in COLUMNS
    if block.get(name) is not None
  }
  if not found:
    raise ValueError("no column")
  return found


def _flat(value: Any) -> Iterator[float]:
  if isinstance(value, list):
    for item in value:
      yield from _flat(item)
  elif isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError("no number")
  elif math.isfinite(value):
    yield float(value)
  else:
    raise ValueError("not finite")
