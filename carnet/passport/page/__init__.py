"""The report for people: one page that needs nothing but a browser.

No script, no network, no other file; every text from the checkpoint is escaped
where elements are built (`markup`), and nowhere else.
"""

from carnet.passport.page.document import build

__all__ = ["build"]
