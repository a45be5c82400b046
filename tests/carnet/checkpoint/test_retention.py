"""Which steps stay: a table worked out by hand."""

import math

import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import manifest, retention

# Success rates of steps 2, 4, ... 18; 4 is best, 6 and 10 are next and equal.
SCORES = dict(
  zip(
    range(2, 20, 2), (1.0, 9.0, 5.0, 2.0, 5.0, None, 3.0, 4.0, 0.0), strict=True
  )
)


def _entries(signed=()):
  return [
    retention.Entry(step, {"score": score}, step in signed)
    for step, score in SCORES.items()
  ]


@pytest.mark.parametrize(
  ("options", "kept"),
  [
    ({}, {18}),
    ({"latest": 3}, {14, 16, 18}),
    ({"best": 1, "metric": "score"}, {4, 18}),
    ({"best": 2, "metric": "score"}, {4, 10, 18}),
    ({"best": 3, "metric": "score"}, {4, 6, 10, 18}),
    ({"best": 1, "metric": "score", "higher_is_better": False}, {18}),
    ({"best": 2, "metric": "score", "higher_is_better": False}, {2, 18}),
    ({"best": 99, "metric": "score"}, set(SCORES) - {12}),
    ({"best": 1, "metric": "other"}, {18}),
    ({"every_steps": 6}, {6, 12, 18}),
    (
      {"latest": 2, "best": 1, "metric": "score", "every_steps": 10},
      {4, 10, 16, 18},
    ),
    ({"latest": 99}, set(SCORES)),
  ],
)
def test_table(options, kept):
  assert retention.Retention(**options).kept(_entries()) == kept


def test_signed_steps_stay():
  assert retention.Retention().kept(_entries(signed=[2, 8])) == {2, 8, 18}


def test_the_first_step_is_no_multiple():
  entries = [retention.Entry(step, {}) for step in (0, 5, 10, 15)]
  kept = retention.Retention(every_steps=10).kept(entries)
  assert kept == {10, 15}


def test_not_a_number_is_never_best():
  for value in (math.nan, math.inf, -math.inf):
    assert manifest.finite_metrics({"score": value}) == {"score": None}
  with pytest.raises(errors.UserError, match="metric 'score'"):
    manifest.finite_metrics({"score": "high"})


@pytest.mark.parametrize(
  "options",
  [{"latest": 0}, {"best": -1}, {"every_steps": -1}, {"best": 1}],
)
def test_rules_that_make_no_sense_are_refused(options):
  with pytest.raises(errors.UserError):
    retention.Retention(**options)


def test_steps_leave_the_disk_and_signed_ones_stay(tmp_path):
  keep = checkpoint_lib.Retention(latest=2, best=1, metric="score")
  with checkpoint_lib.Checkpoint(tmp_path, keep) as checkpoint:
    step = checkpoint.register("step", 0)
    for number, score in {2: 1.0, 4: 9.0, 6: 2.0, 8: 3.0, 10: 4.0}.items():
      step.value = number
      checkpoint.save(number, {"score": score})
      checkpoint.wait()
      if number == 2:
        (tmp_path / "000000002/SIGNOFF.json").write_text("{}")
  assert checkpoint.steps() == [2, 4, 8, 10]
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == [".lock", *(f"{n:09d}" for n in (2, 4, 8, 10))]
