"""Which evaluation counts, and what is refused as one."""

import dataclasses
import json
import math

import pytest
import worlds

from carnet import errors, intervals
from carnet.checkpoint import directory
from carnet.lifecycle import simulated


def _manifest(step, **metrics):
  """Returns the manifest of the step as if it had been saved with these."""
  found = directory.read_manifest(step)
  named = {f"evaluation/{name}": value for name, value in metrics.items()}
  return dataclasses.replace(found, metrics=named)


def _configured(step, episodes):
  config = json.loads((step / "config.json").read_text())
  config["evaluation"] = {"episodes": episodes}
  (step / "config.json").write_text(json.dumps(config))


def test_the_interval_is_wilsons(run):
  worlds.evaluate(run, 46, 50)
  found = simulated.best(run, directory.read_manifest(run))
  assert (found.rate, found.episodes, found.origin) == (0.92, 50, "results")
  # Wilson 1927, by hand: (p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)
  assert found.low == pytest.approx(0.81162, abs=1e-5)
  assert found.high == pytest.approx(0.96845, abs=1e-5)
  assert simulated.described(found) == (
    "92% [81%, 97%], 50 episodes of scripts/eval.py"
  )


def test_a_mean_return_has_the_interval_of_its_standard_error(run):
  worlds.evaluate(run, None)
  found = simulated.best(run, directory.read_manifest(run))
  assert found.rate is None
  assert (found.low, found.high) == pytest.approx((2.01, 2.99), abs=1e-4)
  assert simulated.measure(found) == "return 2.5 [2.01, 2.99]"


@pytest.mark.parametrize(
  ("configured", "filed", "origin"),
  [
    (50, 10, "metrics"),
    (10, 50, "results"),
    (20, 20, "results"),
    (None, 1, "results"),
    (20, None, "metrics"),
    (None, None, "metrics"),
  ],
)
def test_the_larger_evaluation_counts(run, configured, filed, origin):
  found = _manifest(run, success_rate=0.5, low=0.1, high=0.9, mean_return=1.0)
  place = worlds.evaluate(run, filed or 1, filed or 1)
  if configured:
    _configured(run, configured)
  if filed is None:
    place.unlink()
  best = simulated.best(run, found)
  assert best.origin == origin
  if origin == "metrics":
    interval = (0.1, 0.9)  # as training had it, where nobody tells how many
    if configured:
      interval = intervals.wilson(configured // 2, configured)
    assert (best.low, best.high) == interval
    assert best.episodes == configured


def test_metrics_without_success_have_a_return(run):
  found = _manifest(run, mean_return=10.0, standard_error=1.0)
  own = simulated.of_metrics(run, found)
  assert own.rate is None
  assert (own.low, own.high) == pytest.approx((8.04, 11.96), abs=1e-3)
  assert simulated.of_metrics(run, _manifest(run, failures=1.0)) is None
  assert simulated.of_metrics(run, _manifest(run, mean_return=None)) is None


def _summary(change):
  def apply(body):
    body["summary"] |= change

  return apply


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (_summary({"success_rate": 0.91}), "contradicts itself"),
    (_summary({"successes": 11}), "contradicts itself"),
    (_summary({"episodes": 0}), "/summary/episodes"),
    (_summary({"episodes": "10"}), "/summary/episodes"),
    (_summary({"mean_return": None}), "/summary/mean_return"),
    (_summary({"success_rate": math.nan}), "NaN is no number of JSON"),
    (_summary({"mean_return": math.inf}), "Infinity is no number of JSON"),
    (_summary({"standard_error": -1.0}), "/summary/standard_error"),
    (
      _summary(
        {"success_rate": None, "mean_return": 1.0, "standard_error": 1e308}
      ),
      "measured no sound low",
    ),
    (lambda body: body.pop("summary"), "/summary"),
    (lambda body: body.update(step=31), "is of step 31, the checkpoint of 30"),
    (lambda body: body.update(checkpoint="a/000000031"), "of 000000031, not"),
    (lambda body: body.update(tree_sha256="0" * 64), "with other weights"),
  ],
)
def test_what_is_no_evaluation_of_this_checkpoint_is_refused(
  run, change, message
):
  place = worlds.evaluate(run)
  body = json.loads(place.read_text())
  change(body)
  place.write_text(json.dumps(body))
  with pytest.raises(errors.UserError, match=message):
    simulated.best(run, directory.read_manifest(run))


@pytest.mark.parametrize(
  ("metrics", "message"),
  [
    ({"success_rate": math.nan}, "the metric success_rate is nan"),
    ({"mean_return": math.nan}, "no sound mean_return"),
    ({"mean_return": math.inf}, "no sound mean_return"),
    ({"mean_return": 1.0, "standard_error": 1e308}, "no sound low"),
  ],
)
def test_metrics_that_are_no_numbers_are_refused(run, metrics, message):
  with pytest.raises(errors.UserError, match=message):
    simulated.of_metrics(run, _manifest(run, **metrics))


def test_a_negative_standard_error_is_no_interval(run):
  found = _manifest(run, mean_return=10.0, standard_error=-1.0)
  assert simulated.of_metrics(run, found).low is None


@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"[" * 100, b"\xff"])
def test_what_is_no_json_is_one_line(run, content):
  worlds.evaluate(run).write_bytes(content)
  with pytest.raises(errors.UserError, match=r"results\.json"):
    simulated.best(run, directory.read_manifest(run))


def test_the_digest_of_the_weights_is_compared_where_it_is_told(run):
  found = directory.read_manifest(run)
  worlds.evaluate(run, tree_sha256=found.tree_sha256)
  assert simulated.best(run, found).rate == 0.9
