"""Compiles a kernel's source for this machine's processor, once, into a cache folder."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
import warnings
from pathlib import Path

HEADERS = Path(__file__).parent
# NaN and infinity keep their meaning, so no -ffast-math. gnu++17 allows fused multiply-add.
_FLAGS = ["-std=gnu++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"]
_FLAGS += ["-fopenmp", "-shared", "-fPIC", "-w"]
_LOCK = threading.Lock()


def library(source: Path) -> ctypes.CDLL | None:
    """The compiled form of a source, or None, with one warning, where it cannot be compiled."""
    with _LOCK:  # two threads that meet here compile once
        return _library(source)


@functools.cache
def _library(source: Path) -> ctypes.CDLL | None:
    path = compiled(source)
    try:
        return None if path is None else ctypes.CDLL(str(path))
    except OSError as error:
        _warn_of(source, error)
        return None


@functools.cache
def compiled(source: Path, options: tuple[str, ...] = ()) -> Path | None:
    """The file of the compiled form, or None, with one warning, where it cannot be compiled.

    options: more of the compiler's, such as paths of headers and libraries.
    """
    compiler = _compiler()
    if compiler is None:
        _warn_once("no C++ compiler (g++ or clang++; the environment's CXX names another)")
        return None
    # OpenMP's idle threads sleep instead of spinning on the cores that others need. Read once,
    # when OpenMP is loaded, so this is the last moment to say so.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        return _compiled(source, compiler, options)
    except (OSError, subprocess.CalledProcessError) as error:
        _warn_of(source, error)
        return None


def _warn_of(source: Path, error: Exception) -> None:
    detail = getattr(error, "stderr", None) or str(error)
    _warn_once(f"cannot compile {source.name}: {' '.join(detail.split())[:300]}")


def _compiler() -> list[str] | None:
    named = shlex.split(os.environ.get("CXX", ""))
    for command in (named,) if named else (["g++"], ["clang++"], ["c++"]):
        if shutil.which(command[0]):
            return command
    return None


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"cupy_kernels: {reason}; the slow references serve instead", stacklevel=4)


def _compiled(source: Path, compiler: list[str], options: tuple[str, ...] = ()) -> Path:
    target = _cache_folder() / f"{source.stem}-{_key(source, compiler, options)}.so"
    if not target.exists():
        # Renamed when whole: processes that compile the same source do not see half a file.
        handle, temporary = tempfile.mkstemp(suffix=".so", dir=target.parent)
        os.close(handle)
        try:
            _compile(source, compiler, options, temporary)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return target


def _compile(source: Path, compiler: list[str], options: tuple[str, ...], target: str) -> None:
    paths = [f"-I{HEADERS}", f"-I{source.parent}", "-x", "c++", str(source), "-x", "none"]
    program = [word for word in compiler if not word.startswith("-")]
    named = [word for word in compiler if word.startswith("-")]  # of CXX: they win
    command = [*program, *_FLAGS, *named, *paths, *options, "-o", target]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError:  # a compiler without OpenMP: one thread
        serial = [flag for flag in command if flag != "-fopenmp"]
        subprocess.run(serial, check=True, capture_output=True, text=True)


def _key(source: Path, compiler: list[str], options: tuple[str, ...] = ()) -> str:
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    headers = [*sorted(HEADERS.glob("*.h")), *sorted(source.parent.glob("*.h"))]
    texts = [path.read_text() for path in (source, *headers)]
    parts = [*texts, *_FLAGS, *options, *compiler, version, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "\n".join(
        sorted({line for line in lines if line.startswith(wanted)})
    )


def _cache_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("RETURNN_LITE_CACHE") or Path(caches) / "returnn-lite") / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _private_folder()


@functools.cache
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="returnn-lite-kernels-"))
