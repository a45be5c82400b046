"""What a terminal shows: 80 columns, and no name moves its cursor."""

import io

import numpy as np
import pytest
import rich.console

from act.inspection import examine, tables
from act.recordings import base

HOSTILE = "[red]x\x1b[2Jy\u202ez[/nothing]"


def shown(found):
  out = io.StringIO()
  tables.show(found, rich.console.Console(file=out, width=80))
  return out.getvalue()


def test_names_of_the_data_move_no_cursor(scene):
  scene.changes["identity"] = HOSTILE
  scene.tasks[2] = HOSTILE
  scene.pictures[HOSTILE] = np.zeros_like(scene.pictures["top"])
  text = shown(examine.examine(scene.recording()))
  assert "\x1b" not in text
  assert "\u202e" not in text
  assert text.count("[red]x\\x1b[2Jy\\u202ez") >= 3


def test_wide_names_and_small_numbers_fit(scene):
  names = ("a_joint_with_a_very_long_name_indeed_and_more", "b", "c")
  values = scene.states.reshape(-1, 3) * np.float32(-1.2345e-7)
  vector = base.Vector(values, names)
  recording = scene.recording()
  scene.changes["vectors"] = {**recording.vectors, "a.b" * 30: vector}
  text = shown(examine.examine(scene.recording()))
  assert max(map(len, text.splitlines())) <= 80
  assert "1.23e-07" in text


def test_many_dimensions_and_tasks_are_counted(scene):
  values = np.tile(scene.states.reshape(-1, 3), (1, 50))
  recording = scene.recording()
  vectors = {**recording.vectors, "wide": base.Vector(values)}
  scene.changes["vectors"] = vectors
  scene.tasks[:] = [f"task {i}" for i in range(6)]
  text = " ".join(shown(examine.examine(scene.recording())).split())
  assert "and 86 more" in text
  assert "; and 1 more" in text


@pytest.mark.parametrize(
  ("seconds", "said"),
  [
    (None, "unknown"),
    (2.44, "2.4 s"),
    (61, "1 min 1 s"),
    (3600 * 3 + 125, "3 h 2 min"),
  ],
)
def test_durations(seconds, said):
  assert tables.duration(seconds) == said
