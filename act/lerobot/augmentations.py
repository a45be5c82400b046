"""LeRobot's `dataset.image_transforms` as our `config.augmentation`."""

from collections.abc import Mapping
from typing import Any

_COLORS = ("brightness", "contrast", "saturation", "hue", "sharpness")


def translate(transforms: Any) -> tuple[dict[str, Any], list[str]]:
  """Returns our settings, and a note for each transform that we lack."""
  if not isinstance(transforms, Mapping) or not transforms.get("enable"):
    return {}, []
  table = transforms.get("tfs")
  given = dict(table) if isinstance(table, Mapping) else {}
  settings: dict[str, Any] = {
    name: [0.0, 0.0] if name == "hue" else [1.0, 1.0] for name in _COLORS
  }
  settings |= {"affine_degrees": 0.0, "affine_translate": 0.0}
  strange = []
  for name, row in given.items():
    try:
      settings |= _transform(name, row)
    except (KeyError, TypeError, ValueError, AttributeError):
      strange.append(name[:40])
  settings["max_transforms"] = transforms.get("max_num_transforms", 3)
  notes = [
    f"train_config.json augments by '{name}', unlike here: left out"
    for name in strange
  ]
  return settings, notes


def _transform(name: str, row: Any) -> dict[str, Any]:
  options = row["kwargs"]
  if name in _COLORS:
    low, high = options[name]
    return {name: [float(low), float(high)]}
  if name != "affine":
    raise ValueError(name)
  low, high = options.get("degrees", (0.0, 0.0))
  across, down = options.get("translate", (0.0, 0.0))
  if low != -high or across != down or {*options} - {"degrees", "translate"}:
    raise ValueError(name)
  return {"affine_degrees": float(high), "affine_translate": float(across)}
