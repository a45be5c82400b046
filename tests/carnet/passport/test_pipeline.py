"""Steps in order, keys that are there, statistics from files."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import errors
from carnet.passport import contract, pipeline, steps

PIN = contract.Fingerprint(file="stats.json", key="s", file_sha256="0" * 64)
COMMON = {"invertible": True, "code_ref": "here:here"}
BLOCK = {"mean": [1.0, 2.0], "std": [2.0, 4.0]}


def scale(index, key, output, stage="pre", by="policy", divisor=2.0):
  return steps.Scale(
    index=index,
    stage=stage,
    executed_by=by,
    op="scale",
    input_key=key,
    output_key=output,
    params=steps.ScaleParams(divisor=divisor, offset=0.0),
    **COMMON,
  )


def standardize(index, key, output):
  return steps.Standardize(
    index=index,
    stage="pre",
    op="standardize",
    input_key=key,
    output_key=output,
    params=steps.StandardizeParams(statistics=PIN, std_floor=0.0, epsilon=0.0),
    **COMMON,
  )


def join(index, keys, output):
  return steps.Concatenate(
    index=index,
    stage="pre",
    op="concatenate",
    input_key="group",
    output_key=output,
    params=steps.ConcatenateParams(keys=keys, axis="features"),
    **COMMON,
  )


WHOLE = (
  scale(0, "a", "a", by="environment", divisor=10.0),
  scale(1, "a", "a"),
  standardize(2, "s", "t"),
  join(3, ("t", "a"), "vector"),
  scale(4, "out", "out", "post"),
  scale(5, "out", "command", "post", "environment", 0.5),
)


def statistics(file, key):
  assert (file, key) == ("stats.json", "s")
  return BLOCK


def run(whole=WHOLE, stage="pre", xp=np, values=None, **options):
  given = {"a": np.array([[4.0]]), "s": np.array([[3.0, 6.0]])}
  given = given if values is None else values
  return pipeline.run(whole, stage, given, statistics, xp, **options)


def test_the_policys_steps_run_in_order():
  found = run()
  assert list(found) == ["vector"]
  # (3 - 1) / 2, (6 - 2) / 4, and 4 / 2 without the environment's division
  np.testing.assert_array_equal(found["vector"], [[1.0, 1.0, 2.0]])
  given = {"out": np.array([[3.0]])}
  assert run(stage="post", values=given)["out"][0, 0] == 1.5


def test_the_environments_steps_run_when_asked_for():
  before = run(values={"a": np.array([[40.0]])}, executed_by="environment")
  assert before["a"][0, 0] == 4.0
  given = {"out": np.array([[3.0]])}
  after = run(stage="post", values=given, executed_by="environment")
  assert list(after) == ["command"]
  assert after["command"][0, 0] == 6.0


def test_the_same_within_a_compiled_function():
  given = {"a": np.array([[4.0]]), "s": np.array([[3.0, 6.0]])}
  compiled = jax.jit(lambda x: run(xp=jnp, values=x))(given)
  np.testing.assert_array_equal(compiled["vector"], run()["vector"])


def test_no_batch_and_several_batch_axes():
  bare = {"a": np.array([4.0]), "s": np.array([3.0, 6.0])}
  one = run(values=bare, batch_axes=0)["vector"]
  np.testing.assert_array_equal(one, [1.0, 1.0, 2.0])
  many = {k: np.broadcast_to(x, (5, 3, *x.shape)) for k, x in bare.items()}
  found = run(values=many, batch_axes=2)["vector"]
  assert found.shape == (5, 3, 3)
  np.testing.assert_array_equal(found[4, 2], one)


def test_nothing_that_was_given_changes():
  given = {"a": np.array([[4.0]]), "s": np.array([[3.0, 6.0]])}
  run(values=given)
  np.testing.assert_array_equal(given["a"], [[4.0]])


def test_keys_that_are_wanted_and_given():
  assert pipeline.inputs(WHOLE, "pre") == ("a", "s")
  assert pipeline.outputs(WHOLE, "pre") == ("vector",)
  assert pipeline.inputs(WHOLE, "pre", "environment") == ("a",)
  assert pipeline.outputs(WHOLE, "post") == ("out",)


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"a": np.zeros((1, 1))}, r"wants s; there are a$"),
    ({}, r"wants a, s; there are none"),
    (
      {"a": np.zeros((1, 1)), "s": np.zeros((1, 2)), "t": np.zeros((1, 2))},
      r"no step takes 't'",
    ),
  ],
)
def test_a_key_too_few_or_too_many_is_refused(values, message):
  with pytest.raises(errors.UserError, match=message):
    run(values=values)


@pytest.mark.parametrize(
  ("whole", "message"),
  [
    ((scale(1, "a", "a"),), r"has index 1 in place 0"),
    ((scale(0, "a", "a"), scale(0, "a", "a")), r"has index 0 in place 1"),
    (
      (scale(0, "o", "o", "post"), scale(1, "a", "a")),
      r"1 \(scale\) is of pre/policy, which is over by then",
    ),
    (
      (scale(0, "a", "a"), scale(1, "a", "a", by="environment")),
      r"pre/environment, which is over",
    ),
    (
      (
        scale(0, "a", "a", "post", "environment"),
        scale(1, "a", "a", "post"),
      ),
      r"post/policy, which is over",
    ),
    (
      (scale(0, "a", "x"), scale(1, "b", "x")),
      r"1 \(scale\) writes over 'x', which no step has read",
    ),
  ],
)
def test_steps_out_of_order_are_refused(whole, message):
  with pytest.raises(errors.UserError, match=message):
    run(whole, values={"a": np.zeros((1, 1)), "b": np.zeros((1, 1))})


def test_a_step_that_fails_says_which():
  with pytest.raises(errors.UserError, match=r"transform_pipeline/2 \(standar"):
    run(values={"a": np.zeros((1, 1)), "s": np.zeros((1, 3))})


def test_the_one_step_of_an_operation():
  assert pipeline.only(WHOLE, "concatenate") is WHOLE[3]
  assert pipeline.only(WHOLE, "symlog") is None
  with pytest.raises(errors.UserError, match="4 steps of 'scale'"):
    pipeline.only(WHOLE, "scale")


def test_statistics_out_of_a_directory(tmp_path):
  (tmp_path / "stats.json").write_text(json.dumps({"s": BLOCK, "n": [1.0]}))
  load = pipeline.statistics_in(tmp_path)
  assert load("stats.json", "s") == BLOCK
  with pytest.raises(errors.UserError, match=r"statistics of 'state'"):
    load("stats.json", "state")
  with pytest.raises(errors.UserError, match=r"stats.json/n is no JSON object"):
    load("stats.json", "n")
  with pytest.raises(errors.UserError, match="unreadable"):
    load("other.json", "s")


@pytest.mark.parametrize(
  "content", ['{"s": {"mean": [NaN]}}', '{"s": 1, "s": 2}', "[", "[1]"]
)
def test_statistics_that_are_no_sound_json(tmp_path, content):
  (tmp_path / "stats.json").write_text(content)
  with pytest.raises(errors.UserError, match=r"stats\.json"):
    pipeline.statistics_in(tmp_path)("stats.json", "s")


def test_statistics_behind_a_link_or_outside_are_not_read(tmp_path):
  (tmp_path / "stats.json").write_text(json.dumps({"s": BLOCK}))
  inner = tmp_path / "inner"
  inner.mkdir()
  (inner / "linked.json").symlink_to(tmp_path / "stats.json")
  load = pipeline.statistics_in(inner)
  for name in ("linked.json", "../stats.json"):
    with pytest.raises(errors.UserError, match="behind a link or leads out"):
      load(name, "s")


def test_running_a_pipeline_in_numpy_loads_no_jax():
  code = (
    "import sys; from carnet.passport import pipeline, operations, excerpt; "
    "found = {'jax', 'flax', 'orbax', 'tensorstore'} & set(sys.modules); "
    "sys.exit(str(found) if found else 0)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
