"""A policy of LeRobot or of the original ACT as a checkpoint of ours.

The workdir appears at once and whole, or not at all. It has the policy, the
optimizer where there was one, and the origin with the digests of all files
read; it has no demonstrations, so that training goes on in another workdir
(configs/act/continued.py).
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from act import features as features_lib
from act.lerobot import (
  assembling,
  locating,
  original,
  provenance,
  simulators,
)
from act.recordings import naming
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import errors, repository, run_context, terminal
from carnet import workdir as workdir_lib
from carnet.checkpoint import directory, lineage


@dataclasses.dataclass(frozen=True)
class Asked:
  """What the user says besides the path.

  Attributes:
    statistics: a dataset's directory or a dataset_stats.pkl, "" for none.
    environment: simulator to evaluate in, "" for that of train_config.json.
    cameras, height, width, heads: of an original ACT, which does not tell.
    control_hz: commands a second, None where a file tells.
  """

  statistics: str = ""
  environment: str = ""
  cameras: tuple[str, ...] = ()
  height: int = 480
  width: int = 640
  heads: int = 8
  control_hz: float | None = None


def import_policy(
  source: str, workdir: pathlib.Path, asked: Asked
) -> pathlib.Path:
  """Writes the checkpoint; returns its step directory.

  Args:
    source: see `act.lerobot.locating`.
    workdir: is made; or an empty directory.
    asked: what no file tells.

  Raises:
    UserError: there is no policy, it is not one of ACT, something about it is
      not told, or `workdir` holds something. Nothing is written then.
  """
  _check_free(workdir)
  place = locating.find(source)
  if place.checkpoint:
    shape = original.Asked(
      asked.cameras, asked.height, asked.width, asked.heads
    )
    policy = assembling.of_original(place, asked.statistics, shape)
  elif asked.cameras:
    raise errors.UserError(
      "--cameras is for an original ACT: config.json names those of LeRobot"
    )
  else:
    policy = assembling.of_lerobot(place, asked.statistics)
  made = _Checkpoint(policy, asked)
  for note in (f"{policy.generation}: {place.origin}", *made.notes):
    print(terminal.printable(note))
  with _whole(workdir) as draft:
    made.write(draft)
  _print_next_steps(workdir)
  return workdir / directory.STEPS / directory.step_name(made.step)


def _print_next_steps(workdir: pathlib.Path) -> None:
  print(
    f"to go on: scripts/train.py --config=configs/act/continued.py:{workdir} "
    "--workdir=MORE --config.dataset.path=lerobot:DATA "
    "--config.total_steps=STEPS"
  )


class _Checkpoint:
  """A policy with what a checkpoint has besides."""

  def __init__(self, policy: assembling.Policy, asked: Asked) -> None:
    self._policy = policy
    self.config, self.step = policy.config, int(policy.state.step)
    simulator = simulators.Simulator(
      policy.features, policy.trained or {}, asked.environment
    )
    simulator.configure(self.config)
    self.notes = (*policy.notes, *simulator.notes)
    self._names = _names(policy, simulator.state)
    self._take_names(policy.features)
    hz = asked.control_hz or simulator.control_hz or policy.fps
    self.config.lock()
    self._dataset = _dataset(policy, self._names, hz, self.notes)

  def _take_names(self, spec: features_lib.Features) -> None:
    vectors = [name for name in self._names if not name.startswith("images/")]
    rename = [
      f"{theirs} => {ours.removeprefix('images/')}"
      for ours, theirs in self._names.items()
      if naming.short(theirs) != ours.removeprefix("images/")
    ]
    self.config.dataset.update(
      path="",
      cameras=spec.cameras,
      state=vectors[0] if spec.state_size else "",
      environment_state=vectors[-2] if spec.environment_state_size else "",
      rename=tuple(rename),
    )

  def write(self, workdir: pathlib.Path) -> None:
    """Writes the step, and config.json for people, into a directory."""
    policy = self._policy
    with checkpoint_lib.Checkpoint(
      workdir / directory.STEPS, verbose=False
    ) as saved:
      saved.register("agent", policy.state)
      saved.attach("config.json", config_lib.to_json(self.config))
      saved.attach("stats.json", policy.statistics)
      saved.attach("features.json", features_lib.to_json(policy.features))
      saved.attach("dataset.json", self._dataset)
      saved.attach(run_context.NAME, _context(policy).to_json())
      for parent in (*policy.before.lineage, self._parent()):
        saved.descend_from(parent)
      saved.save(self.step)
    workdir_lib.write_config(self.config, workdir)

  def _parent(self) -> dict[str, Any]:
    policy = self._policy
    return lineage.imported(
      policy.place.origin, self.step, policy.generation, policy.digests
    )


def _names(policy: assembling.Policy, state: str) -> dict[str, str]:
  """Returns the policy's name of each feature -> its name in the data."""
  is_original = bool(policy.place.checkpoint)
  back = {ours: theirs for theirs, ours in policy.rename.items()}
  found = {}
  for name, key in policy.declared.ours().items():
    ours, theirs = key, back.get(name, name)
    if name == policy.declared.state:
      ours = state or (
        simulators.ALOHA_STATE if is_original else naming.short(name)
      )
      theirs = simulators.ALOHA_STATE if is_original else theirs
    elif name == policy.declared.environment_state:
      ours = naming.short(name)
    if ours in found:
      raise errors.UserError(f"two features would both be '{ours}' here")
    found[ours] = theirs
  return found


def _dataset(
  policy: assembling.Policy,
  names: Mapping[str, str],
  control_hz: float | None,
  notes: tuple[str, ...],
) -> dict[str, Any]:
  """Returns dataset.json: what is known of the data, and the files' words."""
  data, before = _data(policy), policy.before
  return {
    "task": before.identity or str(data.get("repo_id") or ""),
    "control_hz": control_hz,
    "names": dict(names),
    "skipped": [dict(row) for row in before.skipped],
    "source": {
      "format": policy.generation,
      "origin": policy.place.origin,
      "revision": before.revision or data.get("revision"),
      "exported_from": before.checkpoint,
      "statistics": policy.statistics_from,
      "notes": list(notes),
    },
    "lerobot": {
      "config": dict(policy.written),
      "train_config": dict(policy.trained or {}),
    }
    if not policy.place.checkpoint
    else {},
  }


def _data(policy: assembling.Policy) -> Mapping[str, Any]:
  found = (policy.trained or {}).get("dataset")
  return found if isinstance(found, Mapping) else {}


def _context(policy: assembling.Policy) -> run_context.Context:
  """Returns what is known of the run that trained it, which is little."""
  data = _data(policy)
  identity = policy.before.identity or data.get("repo_id")
  revision = policy.before.revision or data.get("revision")
  datasets: tuple[run_context.Dataset, ...] = ()
  if isinstance(identity, str) and identity:
    datasets = (
      run_context.Dataset(
        id=identity[:512],
        kind="dataset",
        revision=revision if isinstance(revision, str) and revision else None,
        loader_class=None,
        split=policy.before.split,
      ),
    )
  return run_context.Context(
    captured_at_launch=False,
    run_id=None,
    started_utc=None,
    argv=None,
    training_repository=repository.Repository(package=_trained_by(policy)),
    datasets=datasets,
    model=run_context.Model(
      class_name="ACT", class_module="act.model", config_module="act.config"
    ),
    pretrained=None,
    libraries={},
    environment=run_context.Environment(
      python=None,
      platform=None,
      device_kind=None,
      device_count=None,
      lock_file_sha256=None,
      jax_config=None,
      pythonpath=(),
    ),
    run_log=None,
  )


def _trained_by(policy: assembling.Policy) -> str:
  """Returns the program that the files show to be their author.

  Which version of it no file tells.
  """
  name = "tonyzhaozh/act" if policy.place.checkpoint else "lerobot"
  if provenance.NAME in policy.digests:
    name = "carnet, as exported for lerobot"
  return f"{name}, version not recorded"


def _check_free(workdir: pathlib.Path) -> None:
  is_directory = os.path.isdir(workdir)  # also of names too long
  if os.path.islink(workdir) or (os.path.exists(workdir) and not is_directory):
    raise errors.UserError(f"--workdir={workdir} is there, and no directory")
  if is_directory and any(workdir.iterdir()):
    raise errors.UserError(
      f"--workdir={workdir} holds something already: name a new directory"
    )


@contextlib.contextmanager
def _whole(workdir: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a directory that becomes `workdir` if nothing goes wrong."""
  draft: pathlib.Path | None = None
  try:
    workdir.parent.mkdir(parents=True, exist_ok=True)
    draft = pathlib.Path(
      tempfile.mkdtemp(prefix=f".{workdir.name}-", dir=workdir.parent)
    )
    draft.chmod(0o777 & ~_umask())
    yield draft
    os.rename(draft, workdir)
  except OSError as error:
    raise errors.UserError(f"cannot write {workdir}: {error}") from error
  finally:
    if draft is not None and draft.exists():
      shutil.rmtree(draft, ignore_errors=True)


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask
