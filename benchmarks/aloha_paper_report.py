"""What `aloha_paper` found, as figures and as a row beside published ones."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

from ml_collections import config_dict


@dataclasses.dataclass(frozen=True)
class Published:
  """Success on scripted data elsewhere.

  LeRobot itself published none; `lerobot` is a user's run of it, LUC1O on the
  Hub: 100 000 steps on an RTX 5090, 200 episodes.
  """

  paper: str
  readme: str  # of tonyzhaozh/act
  lerobot: str


PUBLISHED = {
  "aloha/transfer_cube": Published("86 %", "about 90 %", "93 % [89, 96]"),
  "aloha/insertion": Published("32 %", "about 50 %", "64 % [57, 70]"),
}


def figures(
  config: config_dict.ConfigDict,
  workdir: pathlib.Path,
  parts: dict[str, Any],
  found: dict[str, Any],
) -> Iterator[dict[str, Any]]:
  """Yields a JSON object a figure, of the parts that have run.

  `parts` has {"seconds", "device"} of each; `found` is the summary of the
  evaluation, or empty.
  """

  def figure(part: str, name: str, value: float, **more: Any) -> dict[str, Any]:
    facts = {"benchmark": "aloha_paper", "task": config.environment.name}
    device = parts.get(part, {}).get("device")
    return facts | {"figure": name, "value": value} | more | {"device": device}

  for part in ("collect", "train", "evaluate"):
    if part in parts:
      seconds = round(parts[part]["seconds"], 1)
      yield figure(part, f"{part}_seconds", seconds)
  logged = _logged(workdir / "metrics.jsonl")
  if logged:
    rate = statistics.median(x["train/steps_per_second"] for x in logged)
    yield figure("train", "steps", logged[-1]["step"])
    yield figure("train", "batch_size", config.batch_size)
    samples = round(rate * config.batch_size, 1)
    yield figure("train", "samples_per_second", samples)
  if found:
    interval = {name: found[name] for name in ("low", "high", "episodes")}
    rate = found["success_rate"]
    yield figure("evaluate", "success_rate", rate, **interval)


def _logged(path: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the lines that training wrote; the first contains compilation."""
  lines = path.read_text().splitlines() if path.exists() else []
  logged = [json.loads(line) for line in lines]
  return [line for line in logged if "train/steps_per_second" in line]


def row(
  config: config_dict.ConfigDict, parts: dict[str, Any], found: dict[str, Any]
) -> str:
  """Returns the README's table in Markdown: a header and one row."""
  published, camera = PUBLISHED[config.environment.name], config.environment
  rate, low, high = (
    f"{100 * found[name]:.0f}" for name in ("success_rate", "low", "high")
  )
  minutes = {name: part["seconds"] / 60 for name, part in parts.items()}
  cells = {
    "scripted task": f"{camera.name.partition('/')[2].replace('_', ' ')}, "
    f"{camera.height}x{camera.width} {camera.renderer}",
    f"carnet, {found['episodes']} seeds": f"{rate} % [{low}, {high}]",
    "paper": published.paper,
    "its README": published.readme,
    "LeRobot, a user's run": published.lerobot,
    "carnet's training": f"{config.total_steps} x {config.batch_size} samples "
    f"in {minutes.get('train', 0):.1f} of {sum(minutes.values()):.1f} min, "
    f"{parts.get('train', {}).get('device')}",
  }
  lines = [cells.keys(), ["---"] * len(cells), cells.values()]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)
