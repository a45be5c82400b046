"""The page for people: complete, harmless, readable, accessible."""

import json
import pathlib
import re

import page_reading
import pytest
import sample
import told

from carnet.checkpoint import directory
from carnet.passport import (
  context,
  outcome,
  page,
  schema,
  statistics,
  validate,
  validate_command,
)
from carnet.passport.formats import rows
from carnet.passport.page import markup


@pytest.fixture(scope="module")
def made(original):
  return page_reading.build(original)


def test_the_page_tells_what_the_validation_told(original, made):
  report = validate.validate(original)
  text = page_reading.Reader(made).text
  for check in validate.catalogue():
    assert check.id in text
  assert f"Verdict {report.verdict}" in text
  for status in outcome.Status:
    word = status.value.replace("_", " ")
    assert re.search(rf"\b{report.count(status)} \s*{word}", text)


def test_the_page_shows_every_part_of_the_passport(original, made):
  text = page_reading.Reader(made).text
  passport = schema.read(original / directory.PASSPORT)
  for fact in (
    passport.model_identity.class_name,
    passport.provenance.training_commit,
    passport.provenance.training_datasets[0].loader_class,
    passport.model_internals.tree_digest.root,
    passport.output_spec.smoke_results.entry_point,
    passport.transform_pipeline[4].code_ref,
    "camera_serial",
    *(file.path for file in passport.weight_integrity.weight_files),
    *(file.sha256 for file in passport.weight_integrity.weight_files),
  ):
    assert fact in text


def test_nothing_comes_from_elsewhere_and_nothing_runs(made):
  found = page_reading.Reader(made)
  page_reading.check_harmless(found)
  assert len(made) < 5_000_000
  (policy,) = [
    meta["content"]
    for meta in found.named("meta")
    if meta.get("http-equiv") == "Content-Security-Policy"
  ]
  assert policy.startswith("default-src 'none';")


def test_each_check_has_its_facts_and_the_failing_ones_come_first():
  report = told.report(*told.STATES["fail"][0], "files hard open")
  found = context.Context(pathlib.Path("nowhere"))
  text = page.build(rows.Validation(report), found)
  names = re.findall(r"<b>(\w+_\d)</b>", text)
  assert names == ["fail_0", "open_3", "fail_2", "bare_1"]
  assert "Failed: files/fail_0, signoff/fail_2." in text
  groups = re.findall(r'class="group"( open)?', text)
  assert groups == [" open"] * 3
  for fact in ("abc", "def", "/provenance/config_sha256", "generate-passport"):
    assert f"<dd>{fact}</dd>" in text


@pytest.mark.parametrize("state", told.STATES)
@pytest.mark.parametrize("strict", [False, True])
def test_the_verdict_and_exit_code_are_those_of_every_format(state, strict):
  made, *codes = told.STATES[state]
  report = told.report(*made)
  found = context.Context(pathlib.Path("nowhere"))
  text = page.build(rows.Validation(report, strict=strict), found)
  assert f"Verdict {report.verdict}, exit code {codes[strict]}." in text
  page_reading.check_harmless(page_reading.Reader(text))


def test_without_a_valid_passport_the_verdict_is_told(step):
  (step / directory.PASSPORT).write_text("{")
  text = page_reading.Reader(page_reading.build(step)).text
  assert "Do not ship it" in text
  assert "no valid passport" in text


def test_markup_in_every_text_of_a_passport_stays_text(step):
  sample.write(
    step,
    **{
      "known_issues": [
        {
          **{"id": "a", "title": "b", "severity": "low", "affected": "c"},
          **{"workaround": "d", "check_type": "human"},
        }
      ],
      "provenance/lineage": [
        {
          "parent_passport_sha256": None,
          "relation": "resume",
          "note": "from before",
        }
      ],
    },
  )
  assert page_reading.hostile(step) > 40
  text = page_reading.build(step)
  found = page_reading.Reader(text)
  page_reading.check_harmless(found)
  assert "<script>alert(1)</script>" in found.text  # as text, and often
  assert found.text.count("alert(1)") > 40
  assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)


def test_statistics_have_the_names_of_the_contract(original):
  action, state = statistics.features(context.Context(original))
  assert (action.key, action.names) == ("action", ("elbow", "wrist"))
  assert state.columns["mean"] == (0.0, 0.125, 0.25)
  assert tuple(state.columns) == statistics.COLUMNS


@pytest.mark.parametrize(
  "block", [{}, {"state": 3, "action": []}, {"state": {"mean": ["x"]}}, [1]]
)
def test_statistics_that_are_none_are_told_as_a_fault(step, block):
  (step / "stats.json").write_text(json.dumps(block))
  for feature in statistics.features(context.Context(step)):
    assert feature.fault
  assert (
    "no such statistics" in page_reading.Reader(page_reading.build(step)).text
  )


def test_numbers_are_written_as_people_read_them():
  assert markup.number(-0.000012345678) == "\u22121.2346e\u221205"
  assert markup.element("p", 1.0, "<", markup.element("br_", None)) == (
    "<p>1&lt;<br_></br_></p>"
  )


def test_the_command_writes_the_page_beside_its_output(step, tmp_path, capsys):
  place = tmp_path / "report.html"
  code = validate_command.main([str(step), f"--html={place}", "--format=json"])
  out, err = capsys.readouterr()
  assert json.loads(out)["exit_code"] == code
  assert err == f"report: {place}\n"
  assert f"exit code {code}." in place.read_text()
