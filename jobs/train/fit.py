"""Whether data fit a network, and each other: told before the first step of a training."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from jobs.job import JobError
from jobs.train.datasets import kind
from returnn_lite.datasets.dataset import Array, HdfDataset
from returnn_lite.dim import Dim
from returnn_lite.hdf import HdfReader
from returnn_lite.infer import template_of
from returnn_lite.losses.sequence import Ctc
from returnn_lite.losses.transducer import Transducer, places
from returnn_lite.network import Network
from returnn_lite.node import Node


def check_same_streams(train: HdfDataset, dev: HdfDataset) -> None:
    """Raise JobError unless two datasets have the same streams, of the same kind."""
    if set(train.extern_data) != set(dev.extern_data):
        found, needed = (", ".join(d.extern_data) for d in (dev, train))
        raise JobError(
            f"dev: found the streams {found}, needed those of train, {needed}; "
            "give train_targets and dev_targets, or neither"
        )
    for key, stream in dev.extern_data.items():
        if stream != train.extern_data[key]:
            raise JobError(
                f"dev, stream {key!r}: found {kind(stream)}, needed those of train, "
                f"{kind(train.extern_data[key])}"
            )


def fit_lengths(
    data: HdfDataset,
    targets: Path | None,
    stream: str,
    network: Network,
    log: logging.Logger,
    *,
    skip: bool,
) -> dict[str, str]:
    """Check targets against the frames that the network makes of the data.

    targets: the file of the target stream. skip: whether to leave out sequences with too many
    labels for a loss over all paths; returned is why, by utterance, and the log lists them. Raises
    JobError for these otherwise, and where a frame-wise loss has not a label for each frame.
    """
    left_out: dict[str, str] = {}
    for node in network.loss_nodes:
        if targets is None or node.common.target != stream:
            continue
        if isinstance(node.criterion, Ctc | Transducer):
            left_out |= _fit_paths(data, targets, stream, network, node, log, skip=skip)
        elif node.common.loss == "ce":
            _check_frame_wise(data, targets, stream, network, node)
    return left_out


def _frames(network: Network, node: Node, data: HdfDataset, dim: Dim | None = None) -> Array:
    """Return the length of a layer's output for each sequence: of a dim, by default time."""
    lengths = {key: data.lengths(key) for key in data.extern_data}
    return network.output_lengths(node.path, lengths, dim)


def _fit_paths(
    data: HdfDataset,
    targets: Path,
    stream: str,
    network: Network,
    node: Node,
    log: logging.Logger,
    *,
    skip: bool,
) -> dict[str, str]:
    topology, time = "ctc", None
    if isinstance(node.criterion, Transducer):
        topology = node.criterion.topology
        time, _ = places(template_of(node), network.template(f"data:{stream}"))
    frames = _frames(network, node, data, time)
    with HdfReader(targets) as reader:
        labels = (reader.read(reader.index(tag)) for tag in data.tags)
        needed = np.array([frames_needed(x, topology) for x in labels])
    bad = np.flatnonzero(needed > frames)
    reasons = {
        data.tags[i]: f"found {frames[i]} frames after pooling, needed {needed[i]} for its labels"
        for i in bad
    }
    if not reasons:
        return {}
    text = f"{targets}: found {len(bad)} of {len(frames)} sequences with more labels than frames"
    if not skip or len(bad) == len(frames):
        advice = 'try on_long_targets="skip", or less pooling'
        shown = [f"{utt}: {reason}" for utt, reason in list(reasons.items())[:5]]
        raise JobError("\n".join([f"{text}, such as", *shown, advice]))
    log.warning("%s; they are left out", text)
    for utt, reason in reasons.items():
        log.info("left out: %s: %s", utt, reason)
    data.keep(np.flatnonzero(needed <= frames))
    return reasons


def frames_needed(labels: Array, topology: str = "ctc") -> int:
    """Return the least number of frames for labels: in CTC equal neighbours need a blank between.

    topology: "ctc"; "rna", a frame for each label; "rnnt", in which one frame has room for all.
    """
    if topology != "ctc":
        return len(labels) if topology == "rna" else min(len(labels), 1)
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


def _check_frame_wise(
    data: HdfDataset, targets: Path, stream: str, network: Network, node: Node
) -> None:
    # In a loop, its frames are those of what it runs over; without that, it runs over the target.
    source = node if node.loop is None else next(iter(node.loop.node.sources), None)
    if source is None:
        return
    time = template_of(source).time_dim
    if time is None or time is network.template(f"data:{stream}").time_dim:
        return
    frames, labels = _frames(network, source, data), data.lengths(stream)
    bad = np.flatnonzero(frames != labels)
    if len(bad):
        i = int(bad[0])
        raise JobError(
            f"{targets}: found {len(bad)} of {len(frames)} sequences without one label for each "
            f"frame of layer {source.path!r}, such as {data.tags[i]}: found {labels[i]} labels, "
            f"needed {frames[i]}; give an alignment by a network that pools as much"
        )
