"""The history shows what was done, and every change that somebody made."""

import hashlib
import json
import os
import re

import pytest
import worlds

from carnet import errors
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import effective, gate, history, lines, records, status

SHA256 = "0123456789abcdef" * 4


def _record(number, **changes):
  return records.Record.model_validate(
    {
      "schema_version": "1.0",
      "before": None,
      "action": "promote",
      "utc": "2026-01-02T03:04:05+00:00",
      "by": "tester",
      "reason": "good",
      "checkpoint": f"{SHA256[:16]}-{number}",
      "previous": f"{SHA256[:16]}-{number - 1}" if number else None,
      "passport_sha256": SHA256,
      "signoff_sha256": SHA256,
      "verdict": "pass",
      "step": number,
      "run_id": None,
      "success": None,
      "source": None,
      "public_key_sha256": None,
      "torn_sha256": None,
      **changes,
    }
  )


@pytest.fixture
def root(tmp_path):
  """Yields a descriptor of a directory with three lines of history."""
  descriptor = os.open(tmp_path, os.O_RDONLY)
  for number in range(3):
    history.append(descriptor, _record(number))
  yield descriptor
  os.close(descriptor)


@pytest.fixture
def path(tmp_path):
  return tmp_path / history.NAME


def test_lines_come_back_as_they_were_written(root, path):
  found = history.read(root)
  assert [row.step for row in found.switches] == [0, 1, 2]
  assert (
    found.head
    == hashlib.sha256(
      path.read_bytes().splitlines(keepends=True)[-1]
    ).hexdigest()
  )
  assert found.torn == b""


def test_a_log_marks_what_is_current_and_what_was_interrupted():
  found = history.History(tuple(map(_record, range(3))), SHA256)
  current = found.switches[1].checkpoint
  rows = list(lines.log(found, (True, True, False), current))
  assert [row[0] for row in rows[1:7:2]] == [" ", "*", "!"]
  assert rows[2:7:2] == ["    tester: good"] * 3
  assert rows[7:11] == [
    "",
    "* current",
    "! interrupted before the switch, or undone by hand",
    "3 lines, none changed; the sha256 of the last one is",
  ]
  assert rows[11] == SHA256
  empty = list(lines.log(history.History(), (), None, ("a note",)))
  assert empty[1:] == ["", "0 lines, none changed", "a note"]


def test_a_directory_without_history_has_none(tmp_path):
  descriptor = os.open(tmp_path, os.O_RDONLY)
  assert history.read(descriptor) == history.History()
  os.close(descriptor)


def _edited(lines):
  lines[1] = lines[1].replace(b'"good"', b'"fine"')


def _removed(lines):
  del lines[1]


def _beheaded(lines):
  del lines[0]


def _exchanged(lines):
  lines[1:] = lines[:0:-1]


def _repeated(lines):
  lines.insert(1, lines[1])


def _inserted(lines):
  lines.insert(2, records.encode(_record(7)))


def _blank(lines):
  lines.insert(1, b"\n")


def _zeroed(lines):
  lines[1] = b"\0" * (len(lines[1]) - 1) + b"\n"


def _no_object(lines):
  lines[2] = b"[]\n"


def _key_twice(lines):
  lines[2] = lines[2].replace(b'{"action"', b'{"action": "promote", "action"')


def _first_with_a_past(lines):
  lines[:] = [records.encode(_record(1))]


def _joined(lines):
  lines[0] = lines[0].rstrip(b"\n")


@pytest.mark.parametrize(
  "change",
  [
    *(_edited, _removed, _beheaded, _exchanged, _repeated, _inserted),
    *(_blank, _zeroed, _no_object, _key_twice, _first_with_a_past, _joined),
  ],
)
def test_every_change_in_the_middle_is_found(root, path, change):
  lines = path.read_bytes().splitlines(keepends=True)
  change(lines)
  path.write_bytes(b"".join(lines))
  for act in (history.read, lambda root: history.append(root, _record(3))):
    with pytest.raises(history.DamagedError, match=r"history.jsonl, line \d"):
      act(root)
  assert path.read_bytes() == b"".join(lines)


def test_every_flipped_byte_but_of_the_last_line_is_found(root, path):
  content = path.read_bytes()
  last = content.rstrip(b"\n").rindex(b"\n") + 1
  for index in range(0, last, 7):
    changed = bytearray(content)
    changed[index] ^= 1
    path.write_bytes(changed)
    with pytest.raises(history.DamagedError):
      history.read(root)


@pytest.mark.parametrize("cut", [1, 2, 100, -1])
def test_a_torn_line_is_told_and_moved_by_the_next_write(
  root, path, tmp_path, cut
):
  content = path.read_bytes()
  start = content.rstrip(b"\n").rindex(b"\n") + 1
  torn = content[start:][:cut]
  path.write_bytes(content[:start] + torn)
  for _ in range(2):  # reading repairs nothing
    found = history.read(root)
    assert (len(found.switches), found.torn) == (2, torn)
  written = history.append(root, _record(2, reason="again"))
  assert written.torn_sha256 == hashlib.sha256(torn).hexdigest()
  assert (tmp_path / history.TORN).read_bytes() == torn + b"\n"
  assert path.read_bytes() == content[:start] + records.encode(written)
  assert history.read(root).torn == b""


def test_room_that_was_never_filled_is_a_torn_line(root, path):
  content = path.read_bytes()
  for tail in (b"\0" * 500, b"\0" * 500 + b"\n"):
    path.write_bytes(content + tail)
    assert history.read(root).torn == tail
  history.append(root, _record(3))
  assert len(history.read(root).switches) == 4


def test_a_write_that_fails_leaves_no_part_of_it(root, path, monkeypatch):
  before, write = path.read_bytes(), os.write

  def half(descriptor, content):
    if len(content) < 400:
      raise OSError(28, "No space left on device")
    return write(descriptor, content[: len(content) // 2])

  monkeypatch.setattr(os, "write", half)
  with pytest.raises(errors.UserError, match="No space left on device"):
    history.append(root, _record(3))
  assert path.read_bytes() == before


@pytest.mark.parametrize("change", [_edited, _removed, _blank, _zeroed])
def test_every_command_refuses_a_changed_history(runs, deployment, change):
  for step in runs:
    worlds.promote(step, deployment)
  lines = worlds.lines(deployment)
  change(lines)
  (deployment / history.NAME).write_bytes(b"".join(lines))
  before = worlds.tree(deployment)
  commands = (
    status.status,
    worlds.rollback,
    lambda place: worlds.promote(runs[0], place),
  )
  for command in commands:
    with pytest.raises(history.DamagedError) as found:
      command(deployment)
    assert not isinstance(found.value, gate.Refused)
  assert worlds.tree(deployment) == before


def test_a_history_that_is_gone_is_noticed(runs, deployment):
  worlds.promote(runs[0], deployment)
  (deployment / history.NAME).unlink()
  for command in (status.status, lambda x: worlds.promote(runs[1], x)):
    with pytest.raises(history.DamagedError, match="has no history though"):
      command(deployment)


def test_a_cut_off_last_switch_leaves_the_deployment_as_it_was(
  runs, deployment
):
  first = worlds.promote(runs[0], deployment).checkpoint
  with (deployment / history.NAME).open("ab") as file:
    file.write(b'{"action": "promote", "before": "12')
  found = status.status(deployment)
  assert found.path.name == first
  assert re.search("cut off by a crash .35 bytes.", found.notes[0])
  worlds.promote(runs[1], deployment)
  assert status.status(deployment).notes == ()
  told = json.loads(worlds.lines(deployment)[-1])
  assert told["torn_sha256"] is not None
  with deployment_lib.opened(deployment) as opened:
    found = opened.history()
    done = effective.flags(found.switches, opened.current())
  assert done == (True, True)
