"""A process that speaks: requests as JSON lines on stdin, wav files, answers as JSON lines.

Request: {"path": wav file to write, "text": words, "voice": "en-us+m1", "pitch": 0 to 99,
"rate": words a minute}. Answer: {"samples": number} or {"error": reason}.

espeak-ng is under the GPL-3, so this program is run on its own, never imported by the package, and
imports only the standard library and the wheel `espeakng-loader`. espeak-ng keeps state from one
utterance to the next (its flutter goes on where it was), so each is spoken by a fork of the process
as it was after its start, with a random seed made from the request: the samples depend on the
request alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import wave
import zlib
from pathlib import Path
from typing import Any

# Values of espeak-ng's speak_lib.h.
OUTPUT_SYNCHRONOUS = 2  # samples go to the callback, and no thread is started
RATE, VOLUME, PITCH = 1, 2, 3
CHARACTERS_UTF8 = 1
POSITION_CHARACTER = 1

# Of 100: the loudest variants reach full scale above this.
LOUDNESS = 50

CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """The library, loaded and ready to speak."""

    def __init__(self) -> None:
        import espeakng_loader

        self.data = Path(espeakng_loader.get_data_path())
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sample_rate = self.library.espeak_Initialize(
            OUTPUT_SYNCHRONOUS, 0, os.fsencode(self.data), 0
        )
        self.chunks: list[bytes] = []
        self.callback = CALLBACK(self._collect)  # kept: the library has only its address
        self.library.espeak_SetSynthCallback(self.callback)

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write one wav file; returns the answer."""
        voice, text = request["voice"], request["text"].encode()
        variant = voice.partition("+")[2]
        if variant and not (self.data / "voices" / "!v" / variant).is_file():
            return {"error": f"espeak-ng has no variant {variant!r}"}  # it would take the default
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            return {"error": f"espeak-ng has no voice {voice!r}"}
        for parameter, value in ((RATE, request["rate"]), (PITCH, request["pitch"])):
            self.library.espeak_SetParameter(parameter, value, 0)
        self.library.espeak_SetParameter(VOLUME, LOUDNESS, 0)
        # Breathy voices have noise in them, of a generator that would start from the clock.
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(zlib.crc32(voice.encode() + text)))
        size = ctypes.c_size_t(len(text) + 1)
        status = self.library.espeak_Synth(
            text, size, 0, POSITION_CHARACTER, 0, CHARACTERS_UTF8, None, None
        )
        samples = b"".join(self.chunks)
        if status != 0 or not samples:
            return {"error": f"espeak-ng: no samples, status {status}"}
        with wave.open(request["path"], "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self.sample_rate)
            out.writeframes(samples)
        return {"samples": len(samples) // 2}


def answer(value: dict[str, Any]) -> None:
    """Write one line to stdout, past Python's buffer, which a fork would double."""
    os.write(1, (json.dumps(value) + "\n").encode())


def speak_in_fork(espeak: Espeak, line: str) -> None:
    """Answer one request from a fork, so that this process stays as it was."""
    child = os.fork()
    if child == 0:
        try:
            answer(espeak.speak(json.loads(line)))
        except BaseException as error:
            answer({"error": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        answer({"error": f"espeak-ng ended with status {status}"})


if __name__ == "__main__":
    library = Espeak()
    for request_line in sys.stdin:
        speak_in_fork(library, request_line)
