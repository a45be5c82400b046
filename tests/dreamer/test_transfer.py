"""A run that begins with a part of another: walking, then running."""

import numpy as np
import pytest
import tiny_loop

from carnet import checkpoint, errors
from dreamer import config as dreamer_config
from dreamer import train


def _leaves(path, step=None):
  if step is not None:
    path = path / f"checkpoints/{step:09d}"
  found, todo = {}, [("agent", checkpoint.read(path)["agent"])]
  while todo:
    name, node = todo.pop()
    if isinstance(node, dict):
      todo.extend((f"{name}/{key}", x) for key, x in node.items())
    else:
      found[name] = np.asarray(node)
  return found


@pytest.fixture(scope="module")
def child(walker_run, tmp_path_factory):
  """Returns a run on another task that was given the world model."""
  config = tiny_loop.walker("run")
  config.from_checkpoint = str(walker_run)
  config.from_checkpoint_regex = "agent/params/(encoder|rssm|decoder)/.*"
  config.total_steps = 30  # 3 updates
  config.checkpoint.keep_latest = 9
  workdir = tmp_path_factory.mktemp("transfer") / "run"
  train.train(config, workdir)
  return config, workdir


def test_the_world_model_is_the_parents_and_the_rest_is_fresh(
  walker_run, child, tmp_path
):
  _, workdir = child
  parent, begun = _leaves(walker_run), _leaves(workdir, 0)
  assert parent.keys() == begun.keys()
  fresh = _fresh(tmp_path)
  for name, value in begun.items():
    taken = name.startswith(
      ("agent/params/encoder/", "agent/params/rssm/", "agent/params/decoder/")
    )
    expected = parent if taken else fresh
    np.testing.assert_array_equal(value, expected[name], err_msg=name)
  for name in ("rssm/dynin0", "actor/mlp/linear0"):  # the parent has learned
    kernel = f"agent/params/{name}/kernel"
    assert not np.array_equal(fresh[kernel], parent[kernel])
  for name, value in begun.items():
    if name.startswith("agent/slow_critic/"):
      fast = name.replace("slow_critic", "params/critic")
      np.testing.assert_array_equal(value, begun[fast], err_msg=name)


def _fresh(workdir):
  """Returns the leaves of a run on its own, before its first step."""
  with pytest.MonkeyPatch.context() as patch:
    tiny_loop.stop_at(patch, 1, kill=True)
    with pytest.raises(tiny_loop.Killed):
      train.train(tiny_loop.walker("run"), workdir)
  return _leaves(workdir, 0)


def test_it_learns_on_and_remembers_where_it_came_from(child, walker_run):
  _, workdir = child
  assert int(_leaves(workdir)["agent/step"]) == 1 + (29 - 24) // 2
  (origin,) = checkpoint.read_manifest(workdir).lineage
  assert origin["path"].startswith(str(walker_run))
  assert origin["regex"] == "agent/params/(encoder|rssm|decoder)/.*"
  config = checkpoint.read_json(workdir, "config.json")
  assert config["environment"]["name"] == "dmc/walker_run"


def test_by_default_all_that_acts_and_values_is_taken(
  walker_run, tmp_path, monkeypatch
):
  config = tiny_loop.walker("run")
  config.from_checkpoint = str(walker_run)
  tiny_loop.stop_at(monkeypatch, 1, kill=True)
  with pytest.raises(tiny_loop.Killed):
    train.train(config, tmp_path)
  parent, begun = _leaves(walker_run), _leaves(tmp_path, 0)
  for name, value in begun.items():
    if name.split("/")[1] in ("params", "slow_critic", "return_range"):
      np.testing.assert_array_equal(value, parent[name], err_msg=name)
  assert begun["agent/step"] == 0
  assert tiny_loop.stored(tmp_path, 0)["replay/state"]["steps"] == 0


def test_a_dry_run_shows_it_and_writes_nothing(walker_run, tmp_path, capsys):
  config = tiny_loop.walker("run")
  config.from_checkpoint = str(walker_run)
  train.train(config, tmp_path / "run", dry_run=True)
  assert "To be restored" in capsys.readouterr().err
  config.from_checkpoint = ""
  train.train(config, tmp_path / "run", dry_run=True)
  assert not (tmp_path / "run").exists()


def test_a_parent_of_another_size_is_refused_with_the_settings(
  walker_run, tmp_path
):
  config = tiny_loop.walker("run")
  dreamer_config.set_size(config, "1m")
  config.from_checkpoint = str(walker_run)
  with pytest.raises(errors.UserError) as caught:
    train.train(config, tmp_path / "run")
  message = str(caught.value)
  parent = _leaves(walker_run)
  resized = [
    name
    for name, value in parent.items()
    if name.startswith("agent/params/rssm/") and value.ndim > 1
  ]
  assert len(resized) > 5
  for name in resized:
    assert name in message
  assert "config.rssm.deter is 512 here and 16 there" in message
  assert not list((tmp_path / "run").glob("checkpoints/0*"))


def test_a_parent_that_is_not_there(tmp_path):
  config = tiny_loop.walker("run")
  config.from_checkpoint = str(tmp_path / "nowhere")
  with pytest.raises(errors.UserError, match="nowhere"):
    train.train(config, tmp_path / "run")
  assert not list((tmp_path / "run").glob("checkpoints/0*"))
