"""Every format tells the same, escapes what it must, and is well-formed."""

import json
import re
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
import told

from carnet.passport import exit_code, formats, outcome
from carnet.passport.formats import pointer, rows

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


def validation(state, **options):
  return rows.Validation(told.report(*told.STATES[state][0]), **options)


def told_by(name, text):
  """Returns verdict, exit code (None where it is not told) and the counts."""
  if name == "json":
    found = json.loads(text)
    return found["verdict"], found["exit_code"], tuple(found["counts"].values())
  if name == "sarif":
    (run,) = json.loads(text)["runs"]
    counts = tuple(run["properties"]["counts"].values())
    code = run["invocations"][0]["exitCode"]
    return run["properties"]["verdict"], code, counts
  if name == "junit":
    found = {
      item.get("name"): item.get("value")
      for item in ET.fromstring(text).iter("property")
    }
    summary, code = found["summary"], int(found["exit_code"])
    assert summary.endswith(found["verdict"])
  else:
    code = None
    (summary,) = re.findall(r"\d+ pass, .*", text)
  found = re.fullmatch(
    r"(\d+) pass, (\d+) soft, (\d+) fail, (\d+) not checked -> (\w+)", summary
  )
  return found[5], code, tuple(map(int, found.groups()[:4]))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("state", told.STATES)
def test_every_format_tells_the_same(state, strict):
  made, *codes = told.STATES[state]
  found = validation(state, strict=strict)
  assert found.exit_code == codes[strict] == exit_code.of(found.report, strict)
  counts = tuple(map(found.report.count, outcome.Status))
  assert sum(counts) == len(made)
  for name, render in formats.FORMATS.items():
    verdict, code, listed = told_by(name, render(found))
    assert verdict == found.report.verdict
    assert code in (None, found.exit_code)
    assert listed == counts


@pytest.mark.parametrize("name", formats.FORMATS)
def test_nothing_from_a_file_moves_a_cursor_or_breaks_a_line(name):
  text = formats.FORMATS[name](validation("nasty"))
  assert not CONTROL.search(text)
  assert text.endswith("\n")
  text.encode()  # no lone surrogate is left


def test_text_has_a_line_for_each_check_and_all_facts_of_a_failure():
  report = told.report("files hard pass", "env soft pass", "files hard fail")
  lines = formats.FORMATS["text"](rows.Validation(report)).splitlines()
  assert lines == [
    "runs/a/checkpoints/000000030",
    "PASS  files/pass_0  41 files",
    "FAIL  files/fail_2  two differ",
    "      expected: abc",
    "      found:    def",
    "      where:    /provenance/config_sha256",
    "      remedy:   generate-passport",
    "PASS  env/pass_1    41 files",
    "2 pass, 0 soft, 1 fail, 0 not checked -> do_not_ship",
  ]


def test_a_failure_that_says_little_is_filled_from_its_docstring():
  text = formats.FORMATS["text"](validation("bare"))
  assert "expected: all as declared.\n" in text
  assert "found:    nothing more to say\n" in text
  assert "where:    MODEL_PASSPORT.json\n" in text
  assert "remedy:   " in text


def test_what_was_not_checked_is_counted_always_and_listed_on_request():
  text = formats.FORMATS["text"](validation("unchecked"))
  assert "----" not in text
  assert "1 not checked" in text
  assert "--show-not-checked" in text
  text = formats.FORMATS["text"](validation("unchecked", show_not_checked=True))
  assert "----  data/open_1   no dataset here\n" in text
  assert "remedy:   --dataset-path\n" in text


def test_colours_change_nothing_but_colours():
  plain = formats.FORMATS["text"](validation("fail"))
  coloured = formats.FORMATS["text"](validation("fail", colour=True))
  assert coloured != plain
  assert re.sub(r"\033\[[\d;]*m", "", coloured) == plain


def test_junit_counts_what_it_holds_and_strictness_fails_what_is_open():
  for state, strict in (("nasty", False), ("nasty", True), ("signoff", False)):
    root = ET.fromstring(
      formats.FORMATS["junit"](validation(state, strict=strict))
    )
    failures = root.findall(".//failure")
    assert len(failures) == int(root.get("failures"))
    assert len(root.findall(".//skipped")) == int(root.get("skipped"))
    assert len(root.findall(".//testcase")) == int(root.get("tests"))
    assert len(failures) == {"nasty": 3 if strict else 1, "signoff": 1}[state]


def test_github_commands_are_one_line_each_and_escaped():
  text = formats.FORMATS["github"](validation("nasty"))
  lines = text.splitlines()
  levels = [re.match(r"::(\w+)", line)[1] for line in lines]
  assert levels == ["error", "warning", "notice", "error"]
  assert "%250A" in lines[0]
  assert "%0Aexpected: " in lines[0]
  properties = lines[0][2:].split("::")[0].partition(" ")[2]
  assert {part.split("=")[0] for part in properties.split(",")} == {
    "title",
    "file",
    "line",
  }


def test_github_says_why_a_sound_checkpoint_is_an_error():
  for strict, level in ((False, "notice"), (True, "error")):
    text = formats.FORMATS["github"](validation("unchecked", strict=strict))
    last = text.splitlines()[-1]
    assert last.startswith(f"::{level} title=validate-checkpoint::")
    assert last.endswith("-> ship_it")
    assert ("::refused by --strict: " in last) is strict


def test_github_points_to_the_line_of_the_passport():
  passport = b'{\n  "provenance": {\n    "config_sha256": "x"\n  }\n}\n'
  text = formats.FORMATS["github"](validation("fail", passport=passport))
  place = "runs/a/checkpoints/000000030/MODEL_PASSPORT.json"
  assert f"file={place},line=3::two differ" in text


def test_sarif_is_of_the_standard():
  for state in told.STATES:
    log = json.loads(formats.FORMATS["sarif"](validation(state)))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert run["originalUriBaseIds"]["CHECKPOINT"]["uri"].endswith("/")
    found = validation(state)
    faults = [row.id for row in found.rows if row.status in ("fail", "soft")]
    assert [result["ruleId"] for result in run["results"]] == faults
    for result in run["results"]:
      assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
      assert result["level"] in ("error", "warning")
      assert result["message"]["text"]
      (place,) = result["locations"]
      physical = place["physicalLocation"]
      assert physical["region"]["startLine"] >= 1
      uri = physical["artifactLocation"]["uri"]
      assert urllib.parse.urlsplit(uri).scheme == ""
      assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", uri)


def test_sarif_names_the_pointer_and_its_line():
  passport = b'{\n "provenance":\n  {"a": [1, {"b": 2}],\n "config_sha256": 3}}'
  log = json.loads(
    formats.FORMATS["sarif"](validation("fail", passport=passport))
  )
  (place,) = log["runs"][0]["results"][0]["locations"]
  assert place["physicalLocation"] == {
    "artifactLocation": {
      "uri": "MODEL_PASSPORT.json",
      "uriBaseId": "CHECKPOINT",
    },
    "region": {"startLine": 4},
  }
  (logical,) = place["logicalLocations"]
  assert logical["fullyQualifiedName"] == "/provenance/config_sha256"


DOCUMENT = b"""{
  "a": {
    "x/y": [
      10,
      {"z": "] } ,",
       "\\u0071": 5}
    ],
    "b": null
  },
  "b": [[1], [2,
    3]]
}
"""


@pytest.mark.parametrize(
  ("where", "line"),
  [
    ("", 1),
    ("/a", 2),
    ("/a/x~1y", 3),
    ("/a/x~1y/0", 4),
    ("/a/x~1y/1", 5),
    ("/a/x~1y/1/z", 5),
    ("/a/x~1y/1/q", 6),
    ("/a/b", 8),
    ("/b", 10),
    ("/b/1/1", 11),
    ("/b/1/1/nothing/there", 11),
    ("/nowhere", 1),
  ],
)
def test_pointers_lead_to_lines(where, line):
  assert pointer.line(DOCUMENT, where) == line


@pytest.mark.parametrize(
  "content",
  [b"[" * 500_000, b'"' + b'\\"' * 500_000, b"\xff]}]},,", b'{"a', b""],
)
def test_unsound_content_has_a_line_and_takes_no_time(content):
  assert pointer.line(content, "/a/b") == 1
