"""A headless Chromium, driven over a pipe with its own DevTools protocol.

    python tests/carnet/passport/chromium.py report.html picture.png

writes a picture of a page, such as docs/passport_report.png.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile

PATH = shutil.which("chromium") or shutil.which("chromium-browser")
_LONGEST = 120.0  # seconds without an answer


class Browser:
  """One page; `call` is a command of the protocol, `run` is JavaScript."""

  def __init__(self, process, reads, writes):
    self._process, self._reads, self._writes = process, reads, writes
    self._count, self._left, self.events = 0, b"", []
    self._session = None
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    found = self.call("Target.attachToTarget", targetId=target, flatten=True)
    self._session = found["sessionId"]
    for domain in ("Page", "Network", "Runtime", "Log"):
      self.call(f"{domain}.enable")

  def call(self, method, **params):
    self._count += 1
    message = {"id": self._count, "method": method, "params": params}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._writes, json.dumps(message).encode() + b"\0")
    while True:
      answer = self._read()
      if answer.get("id") == self._count:
        assert "error" not in answer, answer["error"]
        return answer["result"]
      self.events.append(answer)

  def _read(self):
    while b"\0" not in self._left:
      ready, _, _ = select.select([self._reads], [], [], _LONGEST)
      assert ready, "the browser does not answer"
      part = os.read(self._reads, 1 << 16)
      assert part, "the browser is gone"
      self._left += part
    message, self._left = self._left.split(b"\0", 1)
    return json.loads(message)

  def open(self, path, width=1280, dark=False):
    """Shows a file in a window of this width; forgets earlier events."""
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=900,
      deviceScaleFactor=1,
      mobile=width < 600,
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else ""}
    self.call("Emulation.setEmulatedMedia", features=[scheme])
    self.events.clear()
    self.call("Page.navigate", url=path.absolute().as_uri())
    while not self.named("Page.loadEventFired"):
      self.events.append(self._read())

  def named(self, method):
    """Returns the parameters of the events of this name, since `open`."""
    return [x["params"] for x in self.events if x.get("method") == method]

  def run(self, expression):
    """Returns the value of an expression, of a promise when it is one."""
    found = self.call(
      "Runtime.evaluate",
      expression=expression,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")

  def picture(self, path, whole=True):
    """Writes a PNG of the page, or of what a window shows of it."""
    found = self.call(
      "Page.captureScreenshot", format="png", captureBeyondViewport=whole
    )
    path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def browser():
  """Yields a browser that ends with the block."""
  reads, theirs_out = os.pipe()
  theirs_in, writes = os.pipe()
  # its children may still write there when it is gone
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    process = subprocess.Popen(
      [
        # the protocol's pipe is on descriptors 3 and 4
        *("bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'),
        PATH,
        *("--headless", "--no-sandbox", "--disable-gpu"),
        *("--disable-dev-shm-usage", "--hide-scrollbars"),
        *("--remote-debugging-pipe", f"--user-data-dir={profile}"),
      ],
      pass_fds=(theirs_in, theirs_out),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
      yield Browser(process, reads, writes)
    finally:
      os.close(writes)
      os.close(reads)
      process.kill()
      process.wait()


if __name__ == "__main__":
  with browser() as started:
    started.open(pathlib.Path(sys.argv[1]))
    started.picture(pathlib.Path(sys.argv[2]))
