"""Every file of a real checkpoint, damaged in every way: all is found.

`pytest -s tests/papers/test_corruption.py` prints the table of
docs/passport.md, and which check found each. Files and sign-off are looked at,
and nothing else: they are enough.
"""

import corruption
import pytest

from carnet.passport import context, exit_code, outcome, validate

LOOKED_AT = ("schema", "files", "signoff")
REFUSED = (exit_code.ExitCode.FAIL, exit_code.ExitCode.SIGNOFF)


def _red(step):
  others = tuple(name for name in validate.groups() if name not in LOOKED_AT)
  options = context.Options(require_signoff=True, skip_sections=others)
  report = validate.validate(step, options)
  red = list(report.named(outcome.Status.FAIL))
  assert bool(red) == (exit_code.of(report) in REFUSED)
  return red


@pytest.mark.parametrize("name", ["act", "catch"])
def test_every_damage_to_every_file_is_found(
  name, request, copied, tmp_path, monkeypatch
):
  corruption.families_looked_up_once(monkeypatch)
  step = copied(request.getfixturevalue(f"{name}_step"))
  outside = tmp_path / "outside"
  outside.mkdir()
  assert corruption.table(step, outside, _red) == []
