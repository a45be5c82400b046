"""A passport that says anything else than the checkpoint does is refused.

`pytest -s tests/papers/test_mutations.py` prints the table of docs/passport.md.
"""

import mutations
import pytest


@pytest.mark.parametrize("name", ["act", "catch", "walker"])
def test_every_field_is_checked(name, request, copied):
  step = copied(request.getfixturevalue(f"{name}_step"))
  count, missed = mutations.undetected(step)
  print(f"{name}: {count - len(missed)} of {count} detected {missed}")
  assert count > 150
  assert missed == []
