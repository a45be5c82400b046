r"""ALOHA as in the paper, from nothing to a success rate, on one H200.

    benchmarks/aloha_paper.py --task=aloha/transfer_cube --minutes=9

50 scripted demonstrations at 480x640, `configs/act/aloha_paper.py`, 50 seeds.
Prints the README's row and one JSON line a figure. When --minutes are over,
what is done is saved (exit code 130), and the same command goes on: finished
episodes, the newest checkpoint, the file of results. A part that is killed
outright goes on as well, but the seconds it took are not counted.

This was not run on a GPU. The plan, in seconds of 540, for 16 CPU cores:

  imports                                                             20
  demonstrations, 20 000 pictures (36 ms a core each when ray-cast)   50
  compilation                                                         60
  training 6000 steps                                                222
  saving and loading 0.6 GB                                           10
  evaluation, 800 pictures, compilation included                      40
  left over                                                          138

A sample takes 114 GFLOP, a batch of 64 takes 7.3 TFLOP. At a quarter of the
790 TFLOP/s that bfloat16 products reach on an H200 that is 37 ms: 27 steps/s,
1730 samples/s. A sample costs one core 1.84 ms to read and decode, so 3.2 cores
keep up (4.2 at the 2.4 ms measured on a slower core). A quarter of that time
holds Python's lock, which caps threads of one process at about 2000 samples/s:
hence 8 processes (--workers, 1.5 GB of /dev/shm; 0 is threads).

A machine that can install nothing (Python 3.12, with JAX, Flax, Optax and
Orbax) gets the rest as wheels, 24 MB, made on one that can:

  N='annotated-types|array-record|dm-tree|docstring-parser|glfw|grain'
  N="$N|googleapis-common-protos|gym-aloha|immutabledict|ml-collections|mujoco"
  N="$N|portpicker|pydantic|pydantic-core|pyopengl|simple-parsing|toml"
  N="$N|tensorflow-datasets|tensorflow-metadata|termcolor|typing-inspection"
  P=$(printf -- '--platform manylinux_2_%s_x86_64 ' 17 24 27 28)
  echo /.whl/ >> .git/info/exclude
  python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp $P --platform manylinux2014_x86_64 -d .whl \
    $(grep -oE "^($N)==[^ ]+" requirements.lock)
  python3 -m pip wheel --no-deps -w .whl . \
    $(grep -oE '^promise==[^ ]+' requirements.lock)

and runs this, within 10 minutes, with .whl carried along:

  python3 -m pip install -q --no-index --no-deps --no-compile --upgrade \
    --target /tmp/site .whl/*.whl || exit
  export PYTHONPATH=.:/tmp/site PYTHONUNBUFFERED=1 MUJOCO_GL=egl
  export JAX_COMPILATION_CACHE_DIR=.jax_cache
  python3 benchmarks/aloha_paper.py --task=aloha/transfer_cube --minutes=9
  [ $? != 2 ] || python3 benchmarks/aloha_paper.py --renderer=raycast \
    --task=aloha/transfer_cube --minutes=9
  tar cf $OUT/results.tar runs/aloha_paper/*/*.json* \
    runs/aloha_paper/*/evaluation

The second run is for a machine whose GL cannot be used. Exit code 130 asks for
the same again, at once, while that machine still holds `runs/` (the checkpoint
is too large to bring back). Then the same with --task=aloha/insertion. Begin
with --scale=tiny, a minute: with it these commands have run on a CPU, under
JAX 0.11.2 and Python 3.12.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from absl import flags
from ml_collections import config_dict

from act import agreement, demonstrations, storage, train
from act import evaluation as act_evaluation
from benchmarks import aloha_paper_report
from carnet import cli, errors, evaluation
from carnet.checkpoint import directory
from configs.act import aloha_paper

_PARTS = ("collect", "train", "evaluate")
_EPISODES = {"full": 50, "tiny": 2}  # demonstrations, and seeds to evaluate

_TASK = flags.DEFINE_enum(
  "task", "aloha/transfer_cube", list(aloha_paper_report.PUBLISHED), ""
)
_PART = flags.DEFINE_enum("part", "all", [*_PARTS, "all"], "What to do.")
_MINUTES = flags.DEFINE_float("minutes", 9, "Then save and stop.", 0)
_STEPS = flags.DEFINE_integer("steps", None, "As configured if unset.", 1)
_WORKERS = flags.DEFINE_integer("workers", None, "Decoding processes.", 0)
_RENDERER = flags.DEFINE_enum("renderer", "gl", ["gl", "raycast"], "")
_SCALE = flags.DEFINE_enum(
  "scale", "full", list(_EPISODES), "`tiny` tries the path; it learns nothing."
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "runs/aloha_paper/<task>-<renderer>-<scale> if unset."
)


@dataclasses.dataclass(frozen=True)
class Part:
  """A stage that goes on where it was stopped."""

  name: str
  finished: Callable[[], bool]
  run: Callable[[], Any]


def main(argv: Sequence[str]) -> None:
  """Does the parts that are missing and prints what came out."""
  del argv
  task = str(_TASK.value).partition("/")[2]
  name = f"{task}-{_RENDERER.value}-{_SCALE.value}"
  workdir = pathlib.Path(_WORKDIR.value or f"runs/aloha_paper/{name}")
  config = _config(task, workdir)
  agreement.check_same_run(config, workdir)
  record = workdir / "benchmark.json"
  with _stopping_after(_MINUTES.value * 60):
    for part in _parts(config, workdir):
      if _PART.value not in (part.name, "all"):
        continue
      if part.finished():
        print(f"{part.name}: finished before")
        continue
      with _recording(record, part.name):
        part.run()
  parts = storage.read_json(record) if record.exists() else {}
  found = _results(config, workdir)
  for figure in aloha_paper_report.figures(config, workdir, parts, found):
    print(json.dumps(figure))
  if found:
    print(aloha_paper_report.row(config, parts, found))


def _config(task: str, workdir: pathlib.Path) -> config_dict.ConfigDict:
  config = aloha_paper.get_config(task)
  config.dataset.path = str(workdir / "demonstrations")
  config.environment.renderer = _RENDERER.value
  if _SCALE.value == "tiny":
    _shrink(config)
  if _STEPS.value is not None:
    config.total_steps = _STEPS.value
  if _WORKERS.value is not None:
    config.dataset.workers = _WORKERS.value
  return config


def _shrink(config: config_dict.ConfigDict) -> None:
  config.update(total_steps=4, batch_size=4, log_every_steps=1)
  config.environment.update(height=32, width=32)
  config.dataset.workers = 1
  config.model.update(
    width=16,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    vae_encoder_layers=1,
    backbone="small",
    backbone_widths=(4, 8, 8, 8),
  )


def _parts(
  config: config_dict.ConfigDict, workdir: pathlib.Path
) -> tuple[Part, ...]:
  metadata = pathlib.Path(config.dataset.path) / storage.METADATA_FILE
  return (
    Part("collect", metadata.exists, lambda: _collect(config)),
    Part(
      "train",
      lambda: _newest_step(workdir) == config.total_steps,
      lambda: train.train(config, workdir),
    ),
    Part(
      "evaluate",
      lambda: bool(_results(config, workdir)),
      lambda: _evaluate(config, workdir),
    ),
  )


def _collect(config: config_dict.ConfigDict) -> None:
  camera = config.environment.to_dict()
  settings = demonstrations.Settings(
    task=camera.pop("name"), episodes=_EPISODES[_SCALE.value], **camera
  )
  demonstrations.collect(settings, config.dataset.path)


def _newest_step(workdir: pathlib.Path) -> int:
  return max(directory.complete(workdir / directory.STEPS), default=0)


def _evaluate(config: config_dict.ConfigDict, workdir: pathlib.Path) -> None:
  step, last = _newest_step(workdir), config.total_steps
  if step != last:
    raise errors.UserError(
      f"{workdir} is trained for {step} of {last} steps: --part=train first"
    )
  seeds = range(_EPISODES[_SCALE.value])
  # a film would need av, 35 MB to carry; scripts/eval.py makes them
  load = functools.partial(act_evaluation.load, workdir)
  evaluation.evaluate(load, seeds, videos=0)


def _results(
  config: config_dict.ConfigDict, workdir: pathlib.Path
) -> dict[str, Any]:
  """Returns the summary of the evaluation, empty when there is none."""
  name = directory.step_name(config.total_steps)
  path = workdir / "evaluation" / name / "results.json"
  try:
    return json.loads(path.read_text())["summary"]
  except (OSError, ValueError):  # absent, or cut off by a kill
    return {}


@contextlib.contextmanager
def _stopping_after(seconds: float) -> Iterator[None]:
  """Sends this process a Ctrl-C, which every part survives."""

  over = f"--minutes={_MINUTES.value:g} are over"
  if seconds <= 0:
    raise errors.Interrupted("SIGINT", over)

  def stop() -> None:
    sys.stderr.write(f"{over}\n")
    os.kill(os.getpid(), signal.SIGINT)

  timer = threading.Timer(seconds, stop)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


@contextlib.contextmanager
def _recording(path: pathlib.Path, part: str) -> Iterator[None]:
  """Adds the seconds of a part to those of its earlier, interrupted runs."""
  start = time.monotonic()
  try:
    yield
  except (KeyboardInterrupt, errors.Interrupted):
    _add(path, part, time.monotonic() - start)
    raise
  _add(path, part, time.monotonic() - start)


def _add(path: pathlib.Path, part: str, seconds: float) -> None:
  record = storage.read_json(path) if path.exists() else {}
  before = record.get(part, {}).get("seconds", 0.0)
  device = f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPU cores"
  record[part] = {"seconds": before + seconds, "device": device}
  storage.write_json(path, record)


if __name__ == "__main__":
  cli.run(main)
