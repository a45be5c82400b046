"""What an ACT checkpoint says of the run that made it."""

import hashlib
import importlib.metadata

import numpy as np
import pytest
import safetensors.numpy
import tiny_config

from act import dataset, launch, train
from carnet import run_context, run_log


def _config(data, **overrides):
  config = tiny_config.get_config()
  config.dataset.path = str(data)
  config.update(overrides)
  return config


def _read(workdir, step):
  return run_context.read(workdir / f"checkpoints/{step:09d}")


@pytest.fixture(scope="module")
def resumed(tiny_dataset, tmp_path_factory):
  """Returns the workdir of a run that was started twice."""
  workdir = tmp_path_factory.mktemp("launch") / "run"
  for steps in (2, 4):
    config = _config(tiny_dataset, total_steps=steps)
    config.checkpoint.keep_latest = 9
    train.train(config, workdir)
  return workdir


def test_every_step_has_the_facts_of_the_launch(resumed, tiny_dataset):
  first = _read(resumed, 0)
  assert first.captured_at_launch
  (data,) = first.datasets
  metadata = (tiny_dataset / "metadata.json").read_bytes()
  assert (data.id, data.kind) == ("fake/numbers", "dataset")
  assert data.revision == hashlib.sha256(metadata).hexdigest()
  assert data.loader_class == "act.dataset.Dataset"
  assert data.env_versions.keys() == {"carnet", "mujoco"}
  both = data.split["training_episodes"], data.split["validation_episodes"]
  assert tuple(map(tuple, both)) == dataset.split(6, 0.34, 0)
  assert first.model.model_dump() == {
    "class_name": "ACT",
    "class_module": "act.model",
    "config_module": "act.config",
  }
  assert first.pretrained == ()
  assert first.environment.device_kind == "cpu"
  assert first.environment.jax_config.prng_impl == "threefry2x32"
  assert first.environment.jax_config.threefry_partitionable is True
  for name in ("grain", "flax", "tensorstore"):
    assert first.libraries[name] == importlib.metadata.version(name)


def test_a_resumption_is_added_and_the_run_stays_the_same(resumed):
  first, before, last = (_read(resumed, step) for step in (0, 2, 4))
  assert first == before
  (resumption,) = last.resumptions
  assert resumption.step == 2
  assert resumption.commit == first.training_repository.commit
  assert last.model_copy(update={"resumptions": ()}) == first


def test_the_log_of_a_step_ends_at_the_step(resumed):
  pages = [
    (resumed / f"checkpoints/{step:09d}" / run_log.NAME).read_text()
    for step in (0, 2, 4)
  ]
  assert "Nothing was measured" in pages[0]
  for page, step in zip(pages[1:], (2, 4), strict=True):
    table = page.split("## Training\n")[1].split("\n## ")[0]
    rows = [x for x in table.splitlines() if x.startswith("| ")][2:]
    assert [int(row.split("|")[1]) for row in rows] == [*range(1, step + 1)]
  assert "| step | loss | l1 |" in pages[2]
  assert str(resumed) not in pages[2]


def test_pretrained_weights_are_named_by_their_digest(tiny_dataset, tmp_path):
  path = tmp_path / "resnet.safetensors"
  safetensors.numpy.save_file({"x": np.zeros(1)}, path)
  config = _config(tiny_dataset)
  config.model.backbone_weights = str(path)
  data = dataset.open(tiny_dataset, config.dataset.cameras)
  (found,) = launch.capture(config, data, (0,), (1,)).pretrained
  assert found.source_identifier == "small/resnet.safetensors"
  assert found.submodule == "backbone"
  assert found.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_papers_that_were_altered_are_passed_over(resumed, tiny_dataset):
  path = resumed / "checkpoints/000000004" / run_context.NAME
  path.write_bytes(path.read_bytes().replace(b'"dataset"', b'"DATASET"', 1))
  config = _config(tiny_dataset, total_steps=4)
  config.checkpoint.keep_latest = 9
  train.train(config, resumed)
  # it went back to step 2, and made step 4 again
  assert _read(resumed, 4).run_id == _read(resumed, 0).run_id
  assert [x.step for x in _read(resumed, 4).resumptions] == [2]
