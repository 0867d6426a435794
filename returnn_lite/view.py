"""Data as functions of the config see them, under the names that RETURNN has for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.lazy import tf


class SearchChoices(NamedTuple):
    """What a search found for a layer: float32 [batch, beam], the hypotheses' scores."""

    beam_scores: Any


@dataclass(frozen=True)
class LayerView:
    """A layer as functions and expressions see it.

    search_choices: of its hypotheses, or of the one that `decide` took; None where it has none.
    explicit_search_sources: of a choice, the layers that it names, as a list or by name.
    """

    name: str
    output: DataView
    search_choices: SearchChoices | None = None
    explicit_search_sources: Any = None


@dataclass(frozen=True)
class DataView:
    """What `source(i, as_data=True)` is, and the outputs that custom_score_combine looks at.

    data: a tensor [batch * beam, ...] with dims, in any order. run: where the lengths are.
    """

    data: Data
    run: Any

    @property
    def placeholder(self) -> Any:
        """The tensor."""
        return self.data.tensor

    @property
    def dtype(self) -> str:
        """The type of the values."""
        return self.data.dtype

    @property
    def dim(self) -> int | None:
        """The number of features, or of classes."""
        classes = self.data.classes
        return None if classes is None else classes.size

    @property
    def sparse(self) -> bool:
        """Whether the values are classes."""
        return self.data.sparse_dim is not None

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The sizes of all axes, None for what differs between batches."""
        return tuple(d.size for d in self.data.dims)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes of all axes but the batch."""
        return tuple(d.size for d in self.data.dims if d is not BATCH)

    @property
    def batch_ndim(self) -> int:
        """The number of axes."""
        return len(self.data.dims)

    @property
    def ndim(self) -> int:
        """The number of axes but the batch."""
        return len(self.shape)

    @property
    def batch_dim_axis(self) -> int | None:
        """Where the batch is."""
        return self._axis(BATCH if self.data.has_batch else None)

    @property
    def time_dim_axis(self) -> int | None:
        """Where the axis is that "T" means."""
        return self._axis(self.data.time_dim)

    @property
    def feature_dim_axis(self) -> int | None:
        """Where the axis is that "F" means."""
        return self._axis(self.data.feature_dim)

    @property
    def is_batch_major(self) -> bool:
        """Whether the batch is the first axis."""
        return self.batch_dim_axis == 0

    @property
    def is_time_major(self) -> bool:
        """Whether time is the first axis."""
        return self.time_dim_axis == 0

    @property
    def beam_size(self) -> int:
        """The number of hypotheses of each sequence."""
        return 1 if self.data.beam is None else self.data.beam.size

    @property
    def size_placeholder(self) -> dict[int, Any]:
        """The lengths of dynamic axes, int32 [batch * beam], by the axis without the batch."""
        dims = [d for d in self.data.dims if d is not BATCH]
        return {i: self.run.lengths_in(self.data, d) for i, d in enumerate(dims) if d.dynamic}

    def __getattr__(self, name: str) -> NoReturn:
        known = [n for n in dir(type(self)) if not n.startswith("_")]
        raise AttributeError(f"no {name!r} of source(i, as_data=True){nearest(name, known)}")

    def get_dynamic_axes(self) -> list[int]:
        """Return the axes that have lengths."""
        return [i for i, d in enumerate(self.data.dims) if d.dynamic]

    def get_dynamic_size(self, axis: int) -> Any:
        """Return the lengths of an axis, int32 [batch * beam]."""
        return self.run.lengths_in(self.data, self.data.dims[axis])

    def get_axes_from_description(self, axes: Any) -> list[int]:
        """Return the axes that axis words or Dims mean, see `axes.resolve`; numbers count all."""
        if isinstance(axes, int):
            return [range(self.batch_ndim)[axes]]
        return [self.data.axis(d) for d in resolve(axes, self.data, self.data.name)]

    def get_axis_from_description(self, axis: Any) -> int:
        """Return the one axis that an axis word or a Dim means."""
        found = self.get_axes_from_description(axis)
        if len(found) != 1:
            raise ValueError(f"axes {found} for {axis!r} in {self.data}, needed one")
        return found[0]

    def time_dimension(self) -> Any:
        """Return the size of the time axis, int32."""
        return tf.shape(self.placeholder)[self.data.axis(self._time())]

    def get_batch_dim(self) -> Any:
        """Return the size of the batch axis, int32."""
        return tf.shape(self.placeholder)[self.data.axis(BATCH)]

    def get_sequence_mask(self) -> Any:
        """Return which frames are valid: bool [batch * beam, time], or time first if data are."""
        mask = tf.sequence_mask(self.get_sequence_lengths(), self.time_dimension())
        return tf.transpose(mask) if self.is_time_major else mask

    def get_sequence_lengths(self) -> Any:
        """Return the lengths along time, int32 [batch * beam]."""
        time = self._time()
        if time.dynamic:
            return self.run.lengths_in(self.data, time)
        return tf.fill([tf.shape(self.placeholder)[self.batch_dim_axis]], time.size)

    def copy_as_batch_major(self) -> DataView:
        """Return the same with the batch as the first axis."""
        return replace(self, data=self.data.first(BATCH))

    def copy_as_time_major(self) -> DataView:
        """Return the same with time as the first axis."""
        return replace(self, data=self.data.first(self._time()))

    def copy_template(self, name: str | None = None, *, dtype: str | None = None) -> DataView:
        """Return the same without values, and perhaps of another type of them."""
        data = self.data.template()
        named = replace(data, name=name or data.name, dtype=dtype or data.dtype)
        return replace(self, data=named)

    def copy_template_excluding_time_dim(self, name: str | None = None) -> DataView:
        """Return the same without values and without time."""
        return replace(self, data=self.data.without(self._time())).copy_template(name)

    def copy_template_excluding_spatial_dim(
        self, spatial_axis_num: int, name: str | None = None
    ) -> DataView:
        """Return the same without values and one dim, counted without batch and features."""
        special = (BATCH, self.data.feature_dim)
        dims = [d for d in self.data.dims if d not in special]
        without = self.data.without(dims[spatial_axis_num])
        return replace(self, data=without).copy_template(name)

    def get_placeholder_as_batch_major(self) -> Any:
        """Return the tensor with the batch as the first axis."""
        return self.copy_as_batch_major().placeholder

    def get_placeholder_as_time_major(self) -> Any:
        """Return the tensor with time as the first axis."""
        return self.copy_as_time_major().placeholder

    def _time(self) -> Dim:
        if self.data.time_dim is None:
            raise ValueError(f"no time in {self.data}")
        return self.data.time_dim

    def _axis(self, dim: Dim | None) -> int | None:
        return None if dim is None else self.data.axis(dim)
