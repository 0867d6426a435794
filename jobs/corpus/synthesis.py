"""Speech from text, by espeak-ng in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from jobs.corpus.voices import Voice
from jobs.job import JobError

PROGRAM = Path(__file__).with_name("espeak.py")


class Synthesiser:
    """A running espeak-ng; a context manager. Raises JobError where the wheel is missing."""

    def __init__(self) -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise JobError(
                "corpus.commands: found no espeak-ng, needed the wheel espeakng-loader; "
                "try: pip install 'espeakng-loader>=0.2,<0.3'"
            )
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def say(self, text: str, voice: Voice, path: Path) -> None:
        """Write a wav file of one spoken sentence, at espeak-ng's own rate.

        The samples depend on text and voice alone. Raises JobError where espeak-ng cannot.
        """
        request = {
            "path": str(path),
            "text": text,
            "voice": f"{voice.accent}+{voice.variant}",
            "pitch": voice.pitch,
            "rate": voice.rate,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply = json.loads(line) if line else {"error": "the process has ended, see its message"}
        if "error" in reply:
            raise JobError(f"espeak-ng, voice {voice.name}, text {text!r}: {reply['error']}")

    def __enter__(self) -> Synthesiser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        # What a process that has ended did not read is still in the pipe's buffer.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
