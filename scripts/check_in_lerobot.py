"""Runs an exported policy in a real LeRobot, and compares with carnet.

    scripts/convert.py export-lerobot runs/mine --out=outputs/mine
    python scripts/check_in_lerobot.py outputs/mine

The second line is for an environment with torch and LeRobot (0.6.1 was
checked), and without carnet: this file needs nothing else. It checks that

- config.json and train_config.json are parsed by LeRobot's own classes,
- the weights load with strict=True, and every tensor has a place,
- preprocessor -> policy -> postprocessor give, on the observations that the
  export recorded, the actions that carnet computed, within --tolerance,
- so do single actions, executed as a robot would: queue or ensembling,
- optimizer and random generators load as they do on --resume.

It prints one line a check, and exits with 1 where one fails, with 2 where it
cannot be made.
"""

# mypy: disable-error-code="import-not-found"

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

EXAMPLE = "carnet_example.npz"


def main() -> int:
  """Runs every check; returns the exit code."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("out", type=pathlib.Path, help="--out of the export")
  parser.add_argument("--tolerance", type=float, default=1e-5)
  asked = parser.parse_args()
  place = _pretrained(asked.out)
  if not (place / EXAMPLE).exists():
    parser.error(f"{asked.out} is no export of carnet: there is no {EXAMPLE}")
  missing = [x for x in ("torch", "lerobot") if not importlib.util.find_spec(x)]
  if missing:
    parser.error(f"{missing[0]} is not installed here: use LeRobot's Python")
  try:
    for line in _checks(place, asked.tolerance):
      print(line, flush=True)
  except _Different as different:
    print(f"FAILED: {different}")
    return 1
  print(f"{place}: LeRobot does what carnet did")
  return 0


class _Different(Exception):
  """LeRobot does something else."""


def _pretrained(out: pathlib.Path) -> pathlib.Path:
  for place in (out, out / "pretrained_model"):
    if (place / EXAMPLE).exists():
      return place.resolve()
  return (out / "checkpoints" / "last").resolve() / "pretrained_model"


def _checks(place: pathlib.Path, tolerance: float) -> Iterator[str]:
  import lerobot
  import torch
  from lerobot.configs.train import TrainPipelineConfig
  from lerobot.policies.act.modeling_act import ACTPolicy

  yield f"LeRobot {lerobot.__version__}, torch {torch.__version__}"
  train = TrainPipelineConfig.from_pretrained(place)
  yield f"train_config.json: {train.steps} steps on {train.dataset.repo_id}"
  policy = ACTPolicy.from_pretrained(place, strict=True)
  policy.eval()
  if policy.config != train.policy:
    raise _Different("config.json and train_config.json name two policies")
  count = sum(x.numel() for x in policy.state_dict().values())
  yield f"model.safetensors: {count} numbers, loaded with strict=True"
  with np.load(place / EXAMPLE) as file:
    example = dict(file)
  yield from _outputs(place, policy, example, tolerance)
  yield from _training_state(place.parent / "training_state", policy, train)


def _outputs(
  place: pathlib.Path,
  policy: Any,
  example: dict[str, np.ndarray],
  tolerance: float,
) -> Iterator[str]:
  import torch
  from lerobot.policies.factory import make_pre_post_processors

  # TF32 keeps three digits; and what was trained on a GPU may be checked here
  torch.backends.cudnn.allow_tf32 = False
  before, after = make_pre_post_processors(
    policy.config,
    pretrained_path=str(place),
    preprocessor_overrides={
      "device_processor": {"device": policy.config.device}
    },
  )
  steps = len(example["output/chunk"])
  observations = [_observation(example, step) for step in range(steps)]
  if "observation.state" not in policy.config.input_features:
    for seen in observations:  # LeRobot asks it for its device
      seen["observation.state"] = torch.zeros(1)
  chunks = [
    after(policy.predict_action_chunk(before(dict(seen))))
    for seen in observations
  ]
  scale = example["output/scale"]
  yield _compare("chunk", chunks, example["output/chunk"], scale, tolerance)
  policy.reset()
  executed = [
    after(policy.select_action(before(dict(seen)))) for seen in observations
  ]
  ours = example["output/executed"]
  yield _compare("executed", executed, ours, scale, tolerance)


def _observation(example: dict[str, np.ndarray], step: int) -> dict[str, Any]:
  """Returns one step as LeRobot reads it from a robot: pictures in 0..1."""
  import torch

  found = {}
  for key, values in example.items():
    kind, _, name = key.partition("/")
    if kind != "input":
      continue
    value = torch.from_numpy(values[step])
    found[name] = value.float() / 255 if values.dtype == np.uint8 else value
  return found


def _compare(
  what: str,
  theirs: list[Any],
  ours: np.ndarray,
  scale: np.ndarray,
  tolerance: float,
) -> str:
  found = np.stack([x.squeeze(0).cpu().numpy() for x in theirs])
  if found.shape != ours.shape:
    raise _Different(f"{what}: shape {found.shape}, carnet's is {ours.shape}")
  worst = float((np.abs(found - ours) / scale).max())
  line = f"{what} {list(ours.shape)}: largest relative difference {worst:.2e}"
  if not worst <= tolerance:
    raise _Different(f"{line}, more than {tolerance:g}")
  return line


def _training_state(
  place: pathlib.Path, policy: Any, train: Any
) -> Iterator[str]:
  import torch
  from lerobot.common.train_utils import load_training_state

  optimizer = train.optimizer.build(policy.get_optim_params())
  step, optimizer, _ = load_training_state(place.parent, optimizer, None)
  for group in optimizer.param_groups:
    for value in group["params"]:
      moments = optimizer.state[value]
      if moments["exp_avg"].shape != value.shape:
        raise _Different("a moment of the optimizer has another shape")
  drawn = torch.rand(4)
  torch.manual_seed(train.seed)
  if not torch.equal(drawn, torch.rand(4)):
    raise _Different("torch's generator is not the freshly seeded one")
  count = len(optimizer.state)
  yield f"training_state: step {step}, moments of {count} parameters"
  _step_once(policy, optimizer)
  yield "the optimizer takes a step"


def _step_once(policy: Any, optimizer: Any) -> None:
  import torch

  for value in policy.parameters():
    value.grad = torch.zeros_like(value)
  take: Callable[[], Any] = optimizer.step
  take()
  if not all(torch.isfinite(value).all() for value in policy.parameters()):
    raise _Different("a step of the optimizer gives numbers that are none")


if __name__ == "__main__":
  sys.exit(main())
