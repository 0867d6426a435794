"""Spectra of signals and back, and filters over spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, derived
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.windows import Spatial
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Transform(Spatial):
    """What stft and istft share.

    frame_size: samples in a frame. frame_shift: from frame to frame. fft_size: of the transform;
    by default frame_size, else frames are cut or, behind their end, padded.
    """

    frame_shift: int
    frame_size: int
    fft_size: int | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments of TensorFlow's functions."""
        size = self.fft_size or self.frame_size
        return {
            "frame_length": self.frame_size,
            "frame_step": self.frame_shift,
            "fft_length": size,
        }

    def check(self, site: Site) -> Data:
        """Return the source; raises NetworkError for options that do not fit."""
        if min(self.sizes.values()) < 1:
            raise site.error(f"found {self.sizes}, needed 1 or more")
        return site.source


@register("stft")
@dataclass(frozen=True, kw_only=True)
class Stft(Transform):
    """Short-time Fourier transform, with a Hann window: the spectrum of each frame of a signal.

    in: float [batch, time] or [batch, time, 1]; out: complex [batch, frames, fft_size // 2 + 1],
    of the frames that lie within the signal.
    """

    def infer(self, site: Site) -> Data:
        """Return the template of the spectra."""
        x = self.check(site)
        if x.feature_dim is not None and x.feature_size != 1:
            raise site.error(
                f"found source {x}, needed one channel; try the layer multichannel_stft_layer"
            )
        one = _with_channel(site, x)
        (time,) = self.find_spatial(site, one, 1)
        out = one.renamed(time, self._frames(time))
        return _complex(out.with_feature(site.feature(self.sizes["fft_length"] // 2 + 1)))

    def _frames(self, time: Dim) -> Dim:
        return time.within(self.frame_size).strided(self.frame_shift)

    def call(self, site: Site) -> Data:
        """Return the spectra."""
        (time,) = spatial = site.node.resolved["spatial"]
        # Frames lie within the signal: none of them sees what is behind its end.
        x, signal = self.flat(_with_channel(site, site.source), spatial)
        y = tf.signal.stft(_at_least(signal[..., 0], self.frame_size), **self.sizes)
        x = replace(_complex(x.with_feature(site.feature(y.shape[-1]))), tensor=x.tensor)
        return self.finished(site, x, y, [self._frames(time)])


@register("istft")
@dataclass(frozen=True, kw_only=True)
class InverseStft(Transform):
    """The signal whose short-time Fourier transform is nearest to the given one.

    in: complex [batch, frames, fft_size // 2 + 1], as of stft; out: float [batch, time, 1], from
    the beginning of the first frame to the end of the last one.
    """

    def infer(self, site: Site) -> Data:
        """Return the template of the signal."""
        x, bins = self.check(site), self.sizes["fft_length"] // 2 + 1
        if x.feature_dim is None or x.feature_size != bins or not x.dtype.startswith("complex"):
            raise site.error(f"found source {x}, needed complex features, {bins} for the fft_size")
        if self.frame_shift > self.frame_size:
            raise site.error(f"found {self.sizes}, needed frames without gaps between them")
        (frames,) = self.find_spatial(site, x, 1)
        out = x.renamed(frames, self._time(frames)).with_feature(site.feature(1))
        return replace(out, dtype="float32")

    def _time(self, frames: Dim) -> Dim:
        count = partial(overlapped, self.frame_size, self.frame_shift)
        key = ("overlapped", self.frame_size, self.frame_shift)
        return derived(key, f"{frames.name}*{self.frame_shift}", [frames], count)

    def call(self, site: Site) -> Data:
        """Return the signal."""
        (frames,) = spatial = site.node.resolved["spatial"]
        x, _ = self.flat(site.source, spatial)
        spectra = self.flat(self.masked(site, x, 0.0), spatial)[1]
        window = tf.signal.inverse_stft_window_fn(self.frame_shift)
        y = tf.signal.inverse_stft(spectra, **self.sizes, window_fn=window)[..., None]
        x = replace(x.with_feature(site.feature(1)), dtype="float32", tensor=x.tensor)
        return self.finished(site, x, y, [self._time(frames)])


def overlapped(size: int, shift: int, frames: Any) -> Any:
    """Return how long frames of a size are that begin at a distance from one another."""
    if isinstance(frames, int):
        return (frames - 1) * shift + size if frames else 0
    return tf.where(frames > 0, (frames - 1) * shift + size, 0)


def _with_channel(site: Site, x: Data) -> Data:
    """Return x with a feature dim of size 1, where it has none."""
    if x.feature_dim is not None:
        return x
    channel = site.node.dim("feature", "channel", 1)
    tensor = None if x.tensor is None else x.tensor[..., None]
    return replace(x, dims=(*x.dims, channel), feature_dim=channel, tensor=tensor)


def _complex(x: Data) -> Data:
    return replace(x, dtype="complex64")


def _at_least(signal: Any, size: int) -> Any:
    """Return a signal [batch, time] with zeros behind it where it is shorter than a frame."""
    return tf.pad(signal, [[0, 0], [0, tf.maximum(size - tf.shape(signal)[1], 0)]])


@dataclass(frozen=True, kw_only=True)
class Channels(Layer):
    """Short-time Fourier transforms of each feature of the input, one after the other.

    in: float [batch, time, channels]; out: complex [batch, frames, channels * (fft_size // 2 + 1)].
    window: "hanning", "blackman", or "ones" or "None" for none. pad_last_frame: whether a last
    frame may end behind the signal, in zeros. nr_of_channels: the number of features.
    """

    frame_shift: int
    window: Literal["hanning", "blackman", "ones", "None"] = "hanning"
    use_rfft: Literal[True] = True
    nr_of_channels: int = 1
    pad_last_frame: bool = False

    def resolutions(self) -> list[tuple[int, int]]:
        """Return frame size and size of the transform, of each transform."""
        raise NotImplementedError

    def stays(self, node: Node) -> bool:
        """Return True: it is over the signal of each sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of the spectra."""
        x, sizes = site.source, self.resolutions()
        named = [BATCH, x.time_dim, x.feature_dim]
        if x.time_dim is None or x.feature_dim is None or set(x.dims) != set(named):
            raise site.error(f"found source {x}, needed [batch, time, channels]")
        if x.feature_size != self.nr_of_channels:
            raise site.error(f"found nr_of_channels {self.nr_of_channels}, needed that of {x}")
        if min([self.frame_shift, *(n for pair in sizes for n in pair)], default=0) < 1:
            raise site.error(f"found frames {sizes} every {self.frame_shift}, needed 1 or more")
        bins = sum(fft // 2 + 1 for _, fft in sizes) * self.nr_of_channels
        out = x.first(BATCH, x.time_dim).with_feature(site.feature(bins))
        return _complex(out.renamed(x.time_dim, self._frames(x.time_dim)))

    def _frames(self, time: Dim) -> Dim:
        """Return the dim of the frames, by the first of the sizes."""
        size, shift = self.resolutions()[0][0], self.frame_shift
        if not self.pad_last_frame:
            return time.within(size).strided(shift)
        return derived(
            ("padded_frames", size, shift),
            f"{time.name}/{shift}",
            [time],
            lambda n: tf.maximum((n - size - 1) // shift + 2, 0),
        )

    def call(self, site: Site) -> Data:
        """Return the spectra."""
        x = site.source
        time = x.time_dim
        assert time is not None
        x = x.first(BATCH, time)
        frames = self._frames(time)
        first, count = self.resolutions()[0][0], site.run.entries(frames)
        parts = []
        for size, fft in self.resolutions():
            signal = self._signal(site, x, time, size - first)
            more = (count - 1) * self.frame_shift + size - tf.shape(signal)[2]
            signal = tf.pad(signal, [[0, 0], [0, 0], [0, tf.maximum(more, 0)]])
            spectra = tf.signal.stft(signal, size, self.frame_shift, fft, self._window)
            spectra = tf.transpose(spectra[:, :, :count], [0, 2, 1, 3])
            bins = self.nr_of_channels * (fft // 2 + 1)
            parts.append(tf.reshape(spectra, [tf.shape(spectra)[0], count, bins]))
        tensor = tf.concat(parts, axis=2)
        out = x.renamed(time, frames).with_feature(site.feature(tensor.shape[2]))
        masked: Data = site.run.masked(replace(_complex(out), tensor=tensor), frames)
        return masked

    def _signal(self, site: Site, x: Data, time: Dim, more: int) -> Any:
        """Return [batch, channels, time]; where frames are longer, almost zero behind the end."""
        longer = max(more, 0)
        tensor = tf.pad(site.run.masked(x, time).tensor, [[0, 0], [0, longer], [0, 0]])
        if longer:
            lengths = site.run.lengths_of(time, x.beam) if time.dynamic else [time.size]
            steps = tf.range(tf.shape(tensor)[1]) - tf.convert_to_tensor(lengths)[:, None]
            beyond = tf.logical_and(steps >= 0, steps < longer)
            tensor = tensor + 1e-7 * tf.cast(beyond, tensor.dtype)[..., None]
        return tf.transpose(tensor, [0, 2, 1])

    def _window(self, size: int, dtype: Any) -> Any:
        if self.window == "hanning":
            return tf.signal.hann_window(size, dtype=dtype)
        if self.window == "blackman":
            return tf.constant(np.blackman(size), dtype)
        return tf.ones([size], dtype)


@register("multichannel_stft_layer")
@dataclass(frozen=True, kw_only=True)
class MultichannelStft(Channels):
    """Short-time Fourier transform of each channel: see Channels.

    frame_size, frame_shift: samples in a frame, and from one to the next. fft_size: of the
    transform. use_rfft: True is all there is.
    """

    frame_size: int
    fft_size: int

    def resolutions(self) -> list[tuple[int, int]]:
        """Return the one pair."""
        return [(self.frame_size, self.fft_size)]


@register("multichannel_multiresolution_stft_layer")
@dataclass(frozen=True, kw_only=True)
class MultiresolutionStft(Channels):
    """Short-time Fourier transforms of several frame sizes, each of all channels: see Channels.

    frame_sizes, fft_sizes: of each transform; frame_shift: samples from one frame to the next of
    all of them. The number of frames is that of the first size. use_rfft: True is all there is.
    """

    frame_sizes: tuple[int, ...]
    fft_sizes: tuple[int, ...]

    def infer(self, site: Site) -> Data:
        """Return the template of the spectra."""
        if not self.frame_sizes or len(self.frame_sizes) != len(self.fft_sizes):
            raise site.error(
                f"found frame_sizes {self.frame_sizes} and fft_sizes {self.fft_sizes}, "
                "needed as many, and one or more"
            )
        return super().infer(site)

    def resolutions(self) -> list[tuple[int, int]]:
        """Return the pairs."""
        return list(zip(self.frame_sizes, self.fft_sizes, strict=True))


@register("mel_filterbank")
@dataclass(frozen=True, kw_only=True)
class MelFilterbank(Layer):
    """Triangular filters, evenly spaced on the mel scale 1125 log(1 + f / 700), over a spectrum.

    in: float [..., fft_size // 2 + 1]; out: float [..., nr_of_filters]. sampling_rate: of the
    signal, in Hz. f_min, f_max: where the first filter begins and the last one ends, in Hz; by
    default 0 and half the sampling rate. (Huang, Acero, Hon: Spoken Language Processing, 2001.)
    """

    sampling_rate: int = 16000
    fft_size: int = 1024
    nr_of_filters: int = 80
    f_min: float | None = None
    f_max: float | None = None
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with a feature for each filter."""
        x, bins = site.source, self.fft_size // 2 + 1
        if x.feature_dim is None or x.feature_size != bins or not x.dtype.startswith("float"):
            raise site.error(f"found source {x}, needed {bins} float features for the fft_size")
        out = x.with_feature(site.feature(self.nr_of_filters))
        site.check_size(out, self.n_out)
        return out

    def call(self, site: Site) -> Data:
        """Return the filtered spectrum."""
        x = site.source
        x = x.last(x.feature)
        y = tf.tensordot(x.tensor, tf.constant(self.matrix()), 1)
        return site.as_output(replace(x.with_feature(site.feature(self.nr_of_filters)), tensor=y))

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return the filters: float32 [fft_size // 2 + 1, nr_of_filters]."""
        low, high = self.f_min or 0.0, self.f_max or self.sampling_rate / 2
        ends = 1125.0 * np.log(1.0 + np.array([low, high]) / 700.0)
        mel = np.linspace(ends[0], ends[1], self.nr_of_filters + 2)
        hertz = 700.0 * (np.exp(mel / 1125.0) - 1.0)
        # RETURNN has the centres in float32.
        at = (hertz * self.fft_size / self.sampling_rate).astype(np.float32).astype(np.float64)
        bins = np.arange(self.fft_size // 2 + 1)[:, None]
        left, centre, right = at[:-2], at[1:-1], at[2:]
        rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
        filters = np.maximum(np.minimum(rising, falling), 0.0)
        return np.asarray(filters, np.float32)


@register("dct")
@dataclass(frozen=True, kw_only=True)
class Dct(Layer):
    """The discrete cosine transform of the features of each frame, as for cepstra.

    in, out: float [..., n]. type: 1 to 4, which of the transforms; norm: "ortho" for the one that
    keeps lengths, or None.
    """

    type: int = 2
    norm: Literal["ortho"] | None = None

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x, least = site.source, 2 if self.type == 1 else 1
        if x.feature_dim is None or x.dtype != "float32" or x.feature_size < least:
            raise site.error(f"found source {x}, needed float32 features, {least} or more")
        if self.type not in (1, 2, 3, 4) or (self.type == 1 and self.norm is not None):
            raise site.error(
                f"found type {self.type} and norm {self.norm!r}, needed 1 to 4, 1 without norm"
            )
        return x

    def call(self, site: Site) -> Data:
        """Return the transformed features."""
        x = site.source
        last = x.last(x.feature)
        y = tf.signal.dct(last.tensor, type=self.type, norm=self.norm)
        return replace(last, tensor=y).ordered(x.dims)


@register("complex_linear_projection")
@dataclass(frozen=True, kw_only=True)
class ComplexProjection(Layer):
    """log |x W| for complex x, whose features are in turn real and imaginary parts.

    in: float [..., 2 * in]; out: float [..., nr_of_filters]. Parameter clp_kernel [2, in,
    nr_of_filters], real and imaginary part; clp_weights_init: its initialiser. (Variani et al.,
    "Complex linear projection", 2016.)
    """

    nr_of_filters: int
    clp_weights_init: Any = "glorot_uniform"
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with a feature for each filter."""
        x = site.source
        if x.feature_dim is None or x.feature_size % 2:
            raise site.error(f"found source {x}, needed an even number of features")
        shape = (2, x.feature_size // 2, self.nr_of_filters)
        site.param("clp_kernel", shape, self.clp_weights_init)
        out = x.with_feature(site.feature(self.nr_of_filters))
        site.check_size(out, self.n_out)
        return out

    def call(self, site: Site) -> Data:
        """Return the projection."""
        x = site.source
        x = x.last(x.feature)
        kernel = site.param("clp_kernel", (), None)
        real, imaginary = x.tensor[..., ::2], x.tensor[..., 1::2]
        y_real = tf.tensordot(real, kernel[0], 1) - tf.tensordot(imaginary, kernel[1], 1)
        y_imaginary = tf.tensordot(imaginary, kernel[0], 1) + tf.tensordot(real, kernel[1], 1)
        y = safe_log(tf.sqrt(tf.square(y_real) + tf.square(y_imaginary)))
        out = x.with_feature(site.feature(self.nr_of_filters))
        return site.as_output(replace(out, tensor=y))
