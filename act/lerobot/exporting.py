"""A checkpoint of ours as a directory that LeRobot takes for its own.

    OUT/checkpoints/000123/pretrained_model/   config, weights, processors
    OUT/checkpoints/000123/training_state/     step, optimizer, generators
    OUT/checkpoints/last -> 000123

Everything is read and checked before the first file is written; OUT appears
when all of it is there.
"""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from act import optimizer
from act.lerobot import (
  optimizer_state,
  processors,
  provenance,
  random_state,
  recorded_example,
  stored_policy,
  to_config,
  train_config,
  trained_on,
)
from carnet import errors, terminal
from carnet.checkpoint import digest, directory, manifest

_POLICY, _TRAINING = "pretrained_model", "training_state"
_PARALLELISM = ("dp_replicate", "dp_shard", "ring_degree", "ulysses_degree")
_FILE_MODE = 0o644  # what safetensors makes is for its owner alone


@dataclasses.dataclass(frozen=True)
class Asked:
  """Options of an export.

  Attributes:
    repo_id: "user/name" of the demonstrations; "" is those trained on.
    any_widths: also a backbone that LeRobot does not have.
  """

  repo_id: str = ""
  any_widths: bool = False


def export_policy(
  checkpoint: pathlib.Path, out: pathlib.Path, asked: Asked | None = None
) -> pathlib.Path:
  """Writes a checkpoint for LeRobot; returns its `pretrained_model`.

  Args:
    checkpoint: a step directory, or a workdir for its newest step.
    out: a directory that is empty or not there yet.
    asked: options.

  Raises:
    UserError: the checkpoint is damaged, LeRobot has no such policy, `out`
      holds something, or cannot be written.
  """
  asked = asked or Asked()
  _check_free(out)
  policy = stored_policy.read(checkpoint, asked.any_widths)
  export = _Export(policy, asked)
  for note in export.notes:
    sys.stderr.write(f"warning: {terminal.printable(note)}\n")
  digits = max(6, len(str(policy.config.total_steps)))  # as LeRobot does
  name = f"{policy.step:0{digits}d}"
  working = out.absolute().with_name(f".{out.name}.{os.getpid()}.writing")
  try:
    steps = working / "checkpoints"
    (steps / name).mkdir(parents=True)
    export.write(steps / name)
    (steps / "last").symlink_to(name)
    _synchronize(working)
    os.rename(working, out)
  except OSError as error:
    raise errors.UserError(f"cannot write {out}: {error.strerror}") from error
  finally:
    shutil.rmtree(working, ignore_errors=True)
  return out / "checkpoints" / name / _POLICY


def _check_free(out: pathlib.Path) -> None:
  if out.is_symlink() or (out.exists() and not out.is_dir()):
    raise errors.UserError(f"--out={out} is there, and is no directory")
  if out.is_dir() and any(out.iterdir()):
    raise errors.UserError(
      f"--out={out} holds something already: name a new directory"
    )
  for parent in out.absolute().parents:
    if (parent / manifest.NAME).exists():
      raise errors.UserError(
        f"--out={out} lies in the checkpoint {parent}, to which nothing is "
        "added: name a place outside of it"
      )


def _synchronize(working: pathlib.Path) -> None:
  for name in directory.files(working):
    if not (working / name).is_symlink():
      (working / name).chmod(_FILE_MODE)
      directory.synchronize(working / name)


class _Export:
  """All that goes into the files of one step."""

  def __init__(self, policy: stored_policy.Policy, asked: Asked) -> None:
    self._policy = policy
    config, spec = policy.config, policy.features
    imported = policy.dataset.get("lerobot") or {}
    chosen = to_config.names(spec, config.dataset, policy.dataset)
    written = to_config.convert(
      config, spec, chosen, imported.get("config") or {}
    )
    self._data = trained_on.of(
      config.dataset, policy.dataset, policy.trained_on
    )
    train = train_config.convert(
      config,
      written,
      self._data,
      chosen.renamed,
      asked.repo_id,
      imported.get("train_config") or {},
    )
    before, after = processors.documents(
      written, chosen.renamed, config.normalization.epsilon
    )
    self._documents = {
      "config.json": written,
      "train_config.json": train,
      f"{processors.PREPROCESSOR}.json": before,
      f"{processors.POSTPROCESSOR}.json": after,
    }
    statistics = processors.state(
      spec, chosen, policy.statistics, config.normalization
    )
    self._tensors = {
      "model.safetensors": stored_policy.state_dict(policy),
      processors.PREPROCESSOR_STATE: statistics,
      processors.POSTPROCESSOR_STATE: statistics,
    }
    self._example = recorded_example.make(policy, chosen)
    self.notes = [
      *provenance.notes(policy, chosen),
      *self._data.notes(asked.repo_id),
    ]

  def write(self, place: pathlib.Path) -> None:
    """Writes both directories of a step."""
    pretrained, training = place / _POLICY, place / _TRAINING
    pretrained.mkdir()
    training.mkdir()
    for name, value in self._documents.items():
      _write_json(pretrained / name, value)
    for name, tensors in self._tensors.items():
      safetensors.numpy.save_file(
        tensors, pretrained / name, metadata={"format": "pt"}
      )
    content = io.BytesIO()
    np.savez_compressed(content, **self._example)  # type: ignore[arg-type]
    (pretrained / recorded_example.NAME).write_bytes(content.getvalue())
    self._write_training(training)
    files = {
      name: digest.file(place / name) for name in sorted(directory.files(place))
    }
    _write_json(
      pretrained / provenance.NAME,
      provenance.document(self._policy, self._data, self.notes, files),
    )
    data = self._documents["train_config.json"]["dataset"]["repo_id"]
    (pretrained / provenance.CARD).write_text(
      provenance.card(self._policy, self.notes, data), encoding="utf-8"
    )

  def _write_training(self, training: pathlib.Path) -> None:
    policy, config = self._policy, self._policy.config
    _write_json(
      training / "training_step.json",
      {
        "step": policy.step,
        "num_processes": 1,  # until 0.6.1; the others from 0.6.2 on
        "dp_world_size": 1,
        "batch_size": config.batch_size,
        "grad_accum_steps": 1,
        "parallelism": dict.fromkeys(_PARALLELISM, 1),
      },
    )
    optimizer_state.write(
      training,
      policy.adam,
      {
        "betas": (config.optimizer.beta1, config.optimizer.beta2),
        "eps": config.optimizer.epsilon,
        "weight_decay": config.optimizer.weight_decay,
      },
      _rates(config, policy.step),
    )
    random_state.write(training, config.seed)


def _rates(config: Any, step: int) -> tuple[float, float]:
  """Returns the learning rates that the next step of this run would have."""
  options = config.optimizer
  rates = (options.learning_rate, options.backbone_learning_rate)
  if options.schedule == "constant" and not options.warmup_steps:
    return rates
  factor = float(optimizer.schedule(config, jnp.int32(step)))
  return rates[0] * factor, rates[1] * factor


def _write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  text = json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False)
  path.write_text(text, encoding="utf-8")
