"""Where an exported policy comes from, and what it lost on the way.

LeRobot reads neither of the two files: carnet.json is for programs, README.md
for people, and for the hub, which shows it as the model card.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from act.lerobot import stored_policy, to_config, trained_on
from carnet import versions

NAME, CARD = "carnet.json", "README.md"
LEROBOT = "0.6.1"  # whose files these are, and where they were checked


def notes(policy: stored_policy.Policy, chosen: to_config.Names) -> list[str]:
  """Returns what LeRobot will do otherwise than this run did."""
  config, spec = policy.config, policy.features
  found = []
  widths = config.model.backbone_widths
  if spec.images and widths != stored_policy.TORCHVISION_WIDTHS:
    found.append(
      f"LeRobot as it is does not load a backbone of widths {widths}"
    )
  if not spec.state_size:
    found.append(
      f"LeRobot {LEROBOT} looks at observation.state to find the device: give "
      "it one, of any content, although this policy does not use it"
    )
  if chosen.renamed:
    pairs = ", ".join(f"{x} is {y}" for x, y in chosen.renamed.items())
    found.append(f"the preprocessor renames: {pairs}")
  return found + _of_training(config)


def _of_training(config: Any) -> list[str]:
  found = []
  if config.optimizer.schedule != "constant" or config.optimizer.warmup_steps:
    found.append(
      "a resumed training keeps the learning rate of this step: LeRobot has "
      "no such schedule for ACT"
    )
  if config.loss.reduction != "valid":
    found.append(
      "a resumed training does not count padded actions in the loss, as this "
      f"run did (loss.reduction={config.loss.reduction})"
    )
  if config.dataset.sampling != "frames":
    found.append("a resumed training starts at every frame of the data")
  if config.augmentation.max_transforms and config.augmentation.crop != 1.0:
    found.append("a resumed training does not crop pictures")
  return found


def document(
  policy: stored_policy.Policy,
  data: trained_on.Data,
  noted: Sequence[str],
  files: Mapping[str, str],
) -> dict[str, Any]:
  """Returns the values of carnet.json.

  Args:
    policy: what was exported.
    data: what it trained on.
    noted: of `notes`, and of the data.
    files: path below the step of LeRobot -> sha256.
  """
  return {
    "format": "carnet-lerobot-export",
    "format_version": 1,
    "carnet": _version(),
    "lerobot": LEROBOT,
    "step": policy.step,
    "sha256": dict(policy.digests),
    "lineage": [dict(entry) for entry in policy.lineage],
    "dataset": data.to_json(),
    "notes": list(noted),
    "files": dict(files),
  }


def card(policy: stored_policy.Policy, noted: Sequence[str], data: str) -> str:
  """Returns README.md; `data` is the repo id of the demonstrations."""
  floor = policy.config.normalization.minimum_std
  lines = [
    "---",
    "library_name: lerobot",
    "pipeline_tag: robotics",
    "tags: [robotics, lerobot, act, carnet]",
    "---",
    "",
    "# ACT, trained with carnet",
    "",
    f"Step {policy.step} of a run on `{data}`, exported by carnet {_version()} "
    f"for LeRobot {LEROBOT}. It runs as any policy of LeRobot does:",
    "",
    "    lerobot-record --policy.path=DIRECTORY --policy.device=cuda ...",
    "",
    "`config.json` names the device cpu, which is everywhere. "
    "`scripts/check_in_lerobot.py` of carnet compares what LeRobot computes "
    "with what carnet did.",
    "",
    "sha256 of the checkpoint that this was:",
    "",
    *(f"- `{name}`: `{sha256}`" for name, sha256 in policy.digests.items()),
    "",
    "What to know:",
    "",
    *(f"- {note}." for note in noted),
    f"- Standard deviations below {floor:g} were raised to it, as in training."
    if floor
    else "- Standard deviations are those of the data.",
    "- A resumed training draws from freshly seeded random generators.",
  ]
  return "\n".join(lines) + "\n"


def _version() -> str:
  return versions.installed(("carnet",)).get("carnet", "unknown")
