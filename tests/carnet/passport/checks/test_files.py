"""Files that are missing, changed, more, linked, or badly named."""

import json
import os
import socket

import checking
import pytest
import sample

from carnet.checkpoint import directory
from carnet.passport import context, outcome
from carnet.passport.checks import files

DATA = "agent/d"


def _data(step):
  return min((step / DATA).iterdir())


def test_every_check_states_when_it_passes_and_fails():
  for check in checking.STATIC:
    assert check.doc.startswith("Pass: ")
    assert "Fail: " in check.doc or check.severity == "soft"


def test_the_sample_is_green(step):
  results = checking.findings(step, require_signoff=True, rerun=True)
  bad = {
    n: r.finding.evidence for n, r in results.items() if r.status != "pass"
  }
  assert set(bad) == {"signoff_recent", "signature_valid"}
  count = sum(
    path.is_file() and path.name not in context.PAPERS
    for path in step.rglob("*")
  )
  evidence = checking.one(step, "weight_sizes").evidence
  assert evidence.startswith(f"{count} files, ")


def test_sizes_are_compared_first_and_named(step):
  assert files.CHECKS[0].id == "weight_sizes"
  path = step / "stats.json"
  path.write_bytes(path.read_bytes()[:-5])
  found = checking.one(step, "weight_sizes")
  size = path.stat().st_size
  assert found.status is outcome.Status.FAIL
  assert (found.found, found.expected) == (str(size), str(size + 5))
  assert found.where.startswith("/weight_integrity/weight_files/")
  assert "stats.json has" in found.evidence


def test_a_flipped_bit_is_found_by_the_digest_alone(step):
  path = _data(step)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  red = checking.red(step, files.CHECKS)
  assert red == ["weight_hashes"]
  assert f"{DATA}/{path.name}" in checking.one(step, red[0]).evidence


def test_what_is_needed_must_be_listed(step):
  rows = sample.passport(step).weight_integrity.weight_files
  for name in (
    "config.json",
    "stats.json",
    "manifest.json",
    "agent/_METADATA",
    "agent/manifest.ocdbt",
    f"{sample.FRAMES_PATH}/top_004.png",
    sample.STATES_PATH,
    sample.LOG,
  ):
    kept = [row.model_dump(mode="json") for row in rows if row.path != name]
    sample.write(step, **{"weight_integrity/weight_files": kept})
    found = checking.one(step, "weight_files_complete")
    assert found.status is outcome.Status.FAIL, name
    assert name in found.evidence


def test_weights_must_be_among_the_files(step):
  rows = sample.passport(step).weight_integrity.weight_files
  changed = [
    {**row.model_dump(mode="json"), "role": "metadata"} for row in rows
  ]
  sample.write(step, **{"weight_integrity/weight_files": changed})
  found = checking.one(step, "weight_files_complete")
  assert "no file has the role 'weights'" in found.evidence


def test_every_role_that_is_changed_is_found(step):
  rows = sample.passport(step).weight_integrity.weight_files
  for index, row in enumerate(rows):
    other = "lock" if row.role != "lock" else "log"
    pointer = f"weight_integrity/weight_files/{index}/role"
    sample.write(step, **{pointer: other})
    found = checking.one(step, "file_roles")
    assert (found.status, found.expected) == (outcome.Status.FAIL, row.role)


def test_an_unlisted_file_is_found_and_papers_are_not(step):
  (step / directory.SIGNATURE).write_bytes(b"{}")
  assert checking.red(step, files.CHECKS) == []
  (step / "agent/more").write_bytes(b"x")
  (step / "assets/MODEL_PASSPORT.json").write_bytes(b"{}")
  found = checking.one(step, "unlisted_files")
  assert "agent/more is not listed (and 1 more" in found.evidence
  assert checking.red(step, files.CHECKS) == ["unlisted_files"]


def test_t8_links_to_files_and_directories_are_found(step, tmp_path):
  outside = tmp_path / "outside"
  (step / "assets").rename(outside)
  (step / "assets").symlink_to(outside)
  assert "assets is a link" in checking.one(step, "no_symlinks").evidence
  assert "weight_hashes" in checking.red(step)


def test_t22_pipes_and_sockets_are_found(step):
  os.mkfifo(step / "agent/pipe")
  with socket.socket(socket.AF_UNIX) as listening:
    folder = os.open(step, os.O_RDONLY)
    listening.bind(f"/proc/self/fd/{folder}/socket")
    os.close(folder)
  found = checking.one(step, "paths_safe")
  assert "agent/pipe is a device, a pipe" in found.evidence
  assert "(and 1 more: socket" in found.evidence
  assert checking.red(step, files.CHECKS) == ["paths_safe"]


@pytest.mark.parametrize(
  "name",
  [
    "Config.json",
    "AGENT/x",
    "new\nline",
    "bell\x07",
    "back\\slash",
    "\udcff",
    "C:x",
  ],
)
def test_t22_names_are_the_same_everywhere(step, name):
  path = step / os.fsencode(name).decode(errors="surrogateescape")
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(b"x")
  found = checking.one(step, "paths_safe")
  assert found.status is outcome.Status.FAIL
  assert found.evidence.isprintable()
  assert found.where.isprintable()


def test_t22_unicode_forms_clash_as_case_does(step):
  for form in ("caf\u00e9", "cafe\u0301"):
    (step / form).write_bytes(b"x")
  assert "are one name" in checking.one(step, "paths_safe").evidence


def test_a_file_cannot_be_listed_twice(step):
  rows = sample.passport(step).weight_integrity.weight_files
  body = [row.model_dump(mode="json") for row in rows]
  sample.write(step, **{"weight_integrity/weight_files": [*body, body[0]]})
  assert "is listed 2 times" in checking.one(step, "paths_safe").evidence


@pytest.mark.parametrize(
  "path",
  ["../x", "/etc/passwd", "a\\b", "a/./b", "a//b", "C:/x", "nul\0", "a" * 513],
)
def test_t22_the_schema_refuses_paths_that_lead_out(step, path):
  text = (step / directory.PASSPORT).read_text()
  hostile = text.replace('"stats.json"', json.dumps(path))
  assert hostile != text
  (step / directory.PASSPORT).write_text(hostile)
  assert checking.red(step)[0] == "schema_valid"


def test_t28_long_and_coloured_names_are_cut_and_escaped(step):
  name = "\x1b[31m" + "x" * 240
  (step / name).write_bytes(b"")
  for found in (
    checking.one(step, "unlisted_files"),
    checking.one(step, "paths_safe"),
  ):
    assert found.evidence.isprintable()
    assert "\\x1b[31m" in found.evidence
    assert len(found.evidence) < 300
