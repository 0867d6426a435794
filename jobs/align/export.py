"""Write alignments for other tools: CTM and TextGrid, with times in seconds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.corpus.manifest import Utterance, read_manifest
from jobs.files import written
from jobs.job import JobError, Resources, file, folder
from jobs.progress import progress

if TYPE_CHECKING:
    from jobs.align.intervals import Interval
    from jobs.units.units import Units
    from returnn_lite.hdf import HdfReader

NAME = "align.export"
VERSION = 1

RNA_EXTEND = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: manifest. alignment: label of each frame, sparse, blank last. units: folder."""

    corpus: Path
    alignment: Path
    units: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """ctm: a word a line: utterance, channel (1), start, duration (seconds), word.

    textgrid: for each utterance `<utterance>.TextGrid` of Praat, with tiers `words` and `units`;
    `/` in the name is written %2F, and % is %25.
    """

    ctm: Path = file("alignment.ctm")
    textgrid: Path = folder("textgrid")


@dataclass(frozen=True, kw_only=True)
class Params:
    """frame_shift: seconds between frames of the alignment. repeat_labels: see below.

    With repeat_labels (CTC) equal labels in a row are one label; without (RNA) each frame that is
    not blank is a label. A label lasts its own frames and after them `extend` seconds, but never
    into the next label; by default 0 with repeat_labels, as NeMo's aligner has it, and 0.2 without,
    since there a label has one frame however long it is spoken. A word lasts from the start of its
    first label to the end of its last. What lies between words is silence, or blank.
    """

    frame_shift: float
    repeat_labels: bool
    extend: float | None = None

    def __post_init__(self) -> None:
        if self.frame_shift <= 0:
            raise ValueError(f"found frame_shift {self.frame_shift}, needed more than 0 (seconds)")
        if self.extend is not None and self.extend < 0:
            raise ValueError(f"found extend {self.extend}, needed 0 or more (seconds)")


def resources(params: Params) -> Resources:
    return Resources(mem_mb=1000, minutes=60)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the alignments in the manifest's order; utterances without one are counted in the log.

    Raises JobError for an alignment of other units or of unknown utterances, and for one that is
    longer than its recording.
    """
    from jobs.align.intervals import textgrid_name, word_intervals
    from jobs.units.units import Units
    from returnn_lite.hdf import HdfReader

    utterances = read_manifest(inputs.corpus)
    units = Units.load(inputs.units)
    with (
        HdfReader(inputs.alignment) as reader,
        written(outputs.ctm) as ctm,
        written(outputs.textgrid) as grids,
        ctm.open("w", encoding="utf-8") as lines,
    ):
        grids.mkdir()
        for u in progress(_aligned(utterances, reader, units, log), "alignments", log):
            intervals = _intervals(u, reader, units, params)
            words = word_intervals(intervals)
            lines.writelines(_ctm_line(u.utt, word) for word in words)
            _write_textgrid(grids / textgrid_name(u.utt), u.duration, words, intervals)


def _aligned(
    utterances: list[Utterance], reader: HdfReader, units: Units, log: logging.Logger
) -> list[Utterance]:
    """Return the utterances that have an alignment; check that it is of these units."""
    if not reader.sparse or reader.dim != len(units) + 1:
        kind = "labels" if reader.sparse else "features"
        raise JobError(
            f"{reader.path}: found {kind} of dim {reader.dim}, needed labels of dim "
            f"{len(units) + 1}: the units and the blank; give the units that were aligned"
        )
    names = {u.utt for u in utterances}
    for tag in reader.tags:
        if tag not in names:
            raise JobError(
                f"{reader.path}: found utterance {tag!r}, needed only those of the corpus; "
                "give the corpus that was aligned"
            )
    aligned = set(reader.tags)
    left = [u.utt for u in utterances if u.utt not in aligned]
    if left:
        shown = ", ".join(left[:5])
        log.warning("%d of %d have no alignment: %s", len(left), len(utterances), shown)
    return [u for u in utterances if u.utt in aligned]


def _intervals(u: Utterance, reader: HdfReader, units: Units, params: Params) -> list[Interval]:
    """Return the intervals of an utterance's labels."""
    from jobs.align.intervals import label_intervals

    frames = reader.read(reader.index(u.utt)).tolist()
    if (len(frames) - 1) * params.frame_shift >= u.duration:
        raise JobError(
            f"{reader.path}: utterance {u.utt!r}: found {len(frames)} frames of "
            f"{params.frame_shift} s, needed at most {u.duration} s; check frame_shift"
        )
    extend = params.extend
    if extend is None:
        extend = 0.0 if params.repeat_labels else RNA_EXTEND
    return label_intervals(
        frames,
        units.labels,
        frame_shift=params.frame_shift,
        duration=u.duration,
        repeat_labels=params.repeat_labels,
        extend=extend,
    )


def _ctm_line(utt: str, word: Interval) -> str:
    """Return a line in milliseconds, cut rather than rounded, so that nothing overlaps."""
    start, end = (int(1000 * time + 1e-3) for time in (word.start, word.end))
    return f"{utt} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {word.text}\n"


def _write_textgrid(
    path: Path, duration: float, words: list[Interval], units: list[Interval]
) -> None:
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    grid = Textgrid(0, duration)
    for name, intervals in {"words": words, "units": units}.items():
        entries = [(i.start, i.end, i.text) for i in intervals]
        grid.addTier(IntervalTier(name, entries, 0, duration))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
