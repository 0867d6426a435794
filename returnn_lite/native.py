"""The hot loops for TensorFlow, with their gradients."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def lstm_step(z: Any, w_re: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """Return output and cell state of one step of an LSTM: float32 [batch, n] each.

    z: float32 [batch, 4 n], the input product with bias; gates: cell input, input, forget, output.
    w_re: float32 [n, 4 n]. h, c: float32 [batch, n], output and cell state before.
    """
    j, i, f, o = tf.split(z + tf.matmul(h, w_re), 4, axis=-1)
    c_new = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(j)
    return tf.sigmoid(o) * tf.tanh(c_new), c_new


def lstm(z: Any, w_re: Any, lengths: Any, *, direction: int = 1) -> tuple[Any, Any]:
    """Return outputs [time, batch, n], zero behind the end, and final cell state [batch, n].

    z: float32 [time, batch, 4 n], as in `lstm_step`. lengths: int32 [batch]. direction: -1 begins at
    each sequence's own end.
    """
    if direction == -1:
        z = tf.reverse_sequence(z, lengths, seq_axis=0, batch_axis=1)
    n = w_re.shape[0]
    batch = tf.shape(z)[1]
    zeros = tf.zeros([batch, n])
    # BlockLSTM multiplies its input by weights of its own: z is that product, so these are the identity.
    order = _block_order(n)
    out = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(tf.reduce_max(lengths), tf.int64),
        x=tf.gather(z, order, axis=-1),
        cs_prev=zeros,
        h_prev=zeros,
        w=tf.concat([tf.eye(4 * n), tf.gather(w_re, order, axis=-1)], axis=0),
        wci=tf.zeros([n]),
        wcf=tf.zeros([n]),
        wco=tf.zeros([n]),
        b=tf.zeros([4 * n]),
        cell_clip=0.0,
        use_peephole=False,
    )
    mask = tf.cast(tf.sequence_mask(lengths, tf.shape(z)[0]), z.dtype)
    y = out.h * tf.transpose(mask)[:, :, None]
    last = tf.stack([tf.maximum(lengths - 1, 0), tf.range(batch)], axis=-1)
    c = tf.gather_nd(out.cs, last)
    if direction == -1:
        y = tf.reverse_sequence(y, lengths, seq_axis=0, batch_axis=1)
    return y, c


def _block_order(n: int) -> list[int]:
    """Return where BlockLSTMV2's gates (input, forget, cell input, output) are in ours."""
    j, i, f, o = (list(range(k * n, (k + 1) * n)) for k in range(4))
    return i + f + j + o


def ctc_loss(logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int) -> Any:
    """Return float32 [batch], -log p of the labels by CTC (Graves et al., 2006).

    logits: float32 [time, batch, labels], before softmax. frames, counts: int32 [batch], lengths of the
    input and of the labels. labels: int32 [batch, label]. blank: its index.
    """
    return tf.nn.ctc_loss(labels, logits, counts, frames, logits_time_major=True, blank_index=blank)


def ctc_errors(logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int) -> Any:
    """Return float32 [batch], the edit distance of the best path's labels to the given ones."""
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    before = tf.pad(best[:-1], [[1, 0], [0, 0]], constant_values=-1)
    valid = tf.transpose(tf.sequence_mask(frames, tf.shape(best)[0]))
    emitted = tf.logical_and(tf.logical_and(best != before, best != blank), valid)
    hyps = tf.RaggedTensor.from_tensor(tf.transpose(best))
    hyps = tf.ragged.boolean_mask(hyps, tf.transpose(emitted))
    refs = tf.RaggedTensor.from_tensor(labels, lengths=counts)
    return tf.edit_distance(hyps.to_sparse(), refs.to_sparse(), normalize=False)
