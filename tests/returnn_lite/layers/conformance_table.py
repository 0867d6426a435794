"""The layers that test_conformance looks at, each with a dict: a row for every class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Net = dict[str, Any]

DIM, CLASSES, LENGTHS = 4, 3, [5, 2, 4]
STREAMS = {
    "data": {"dim": DIM},
    "classes": {"dim": CLASSES, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": CLASSES, "sparse": True},
}
# The input of the layers. Streams are zero behind the end; this is far from all valid values there.
SHIFT: Net = {"class": "eval", "eval": "tf.where(tf.equal(source(0), 0), 50.0, source(0) + 1.5)"}
OTHER_SHIFT: Net = {**SHIFT, "eval": SHIFT["eval"].replace("50.0", "-30.0")}
# Batch-major, with something else behind the end, and time-major.
INPUTS: dict[str, Net] = {
    "batch": {"in": {**SHIFT, "from": "data"}},
    "other": {"in": {**OTHER_SHIFT, "from": "data"}},
    "time": {
        "in": {"class": "rec", "from": "data", "unit": {"output": {**SHIFT, "from": "data:source"}}}
    },
}
STFT: Net = {"class": "stft", "frame_size": 2, "frame_shift": 1}
CHANNELS: Net = {"frame_shift": 1, "nr_of_channels": DIM, "from": "in"}
COMMON: Net = {
    "count": {"class": "length", "from": "data"},
    "half": {"class": "eval", "from": "count", "eval": "source(0) // 2"},
    "mask": {"class": "compare", "from": "data:classes", "value": 1, "kind": "not_equal"},
    "column": {"class": "linear", "from": "in", "n_out": 1, "activation": "tanh"},
    "probs": {"class": "activation", "activation": "softmax", "from": "in"},
    "last": {"class": "gather", "position": "half", "from": "in"},
    "columns": {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "in"},
    "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "in"},
    "sum": {"class": "reduce", "mode": "sum", "axis": "F", "from": "in"},
    "spectra": {**STFT, "from": "column"},
    "windows": {"class": "window", "window_size": 3, "stride": 2, "from": "in"},
    "filters": {"class": "split_dims", "axis": "F", "dims": [2, 2], "from": "mean"},
    "energies": {"class": "activation", "activation": "abs", "from": "spectra"},
    "sorted": {"class": "cumsum", "from": "ones"},
    "ones": {"class": "eval", "eval": "0.1 + source(0) ** 2", "from": "sum"},
    "places": {"class": "eval", "eval": "(source(0) + 1) % 2", "from": "data:classes"},
    "places1": {"class": "reinterpret_data", "set_sparse": False, "from": "places"},
}
LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 3, "from": "in"}
NORM = {"dropout": 0.3, "dropout_h": 0.2}
ZONEOUT = {"zoneout_factor_cell": 0.4, "zoneout_factor_output": 0.2}
STEPS: Net = {"output": {"class": "linear", "from": ["prev:output", "data:source"], "n_out": 2}}
SEARCHED: Net = {
    "p": {"class": "softmax", "from": ["data:source", "e"], "n_out": 3},
    "e": {"class": "linear", "activation": None, "from": "prev:output", "n_out": 2},
    "output": {"class": "choice", "from": "p", "beam_size": 2, "target": "none"},
}
OVER_FEATURES = {"filter_size": [3, 2], "input_add_feature_dim": True}
DILATED = {"dilation_rate": 2, "groups": 2}
TRANSPOSED = {"class": "transposed_conv", "filter_size": [3], "n_out": 2, "activation": "tanh"}
WINDOWS = {"padding": "same", "from": "in"}
ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 6}
NESTED: Net = {"output": {"class": "linear", "activation": "tanh", "n_out": 3}}
MASKED = {"class": "masked_computation", "mask": "mask"}
LABELS = "layer:base:data:labels"
TABLE: Net = {
    "t": {"class": "edit_distance_table", "from": "data:classes", "target": LABELS},
    "output": {"class": "optimal_completions", "from": "prev:t", "target": LABELS},
}
HERE = Path(__file__).parent
WORDS: Net = {
    "class": "kenlm",
    "lm_file": str(HERE / "words.arpa"),
    "vocab_file": str(HERE / "words.txt"),
    "bpe_merge_symbol": "@@",
    "from": "data:classes",
}
PAST = "stag:rec-history"
SO_FAR: Net = {
    "other": {"class": "rec_unstack", "from": "base:column"},
    "keys": {"class": "cum_concat", "from": ["data:source", "other"]},
    "energy": {"class": "reduce", "mode": "sum", "axis": "F", "from": "keys"},
    "weights": {"class": "softmax_over_spatial", "axis": PAST, "from": "energy"},
    "output": {"class": "dot", "reduce": PAST, "from": ["weights", "keys"]},
}
BEAMS: Net = {
    **SEARCHED,
    "from": {"class": "choice_get_src_beams", "from": "output", "is_output_layer": True},
}
RANKED: Net = {**BEAMS, "scores": {**BEAMS["from"], "class": "choice_get_beam_scores"}}
BEAMED: Net = {"scores": "ranked/scores", "beams": "ranked/from", "beam_size": 2}
PIXELS: Net = {"class": "constant", "value": 2, "shape": [2], "with_batch_dim": True}

CASES: dict[str, Net] = {
    "copy": {"class": "copy", "from": ["in", "column"]},
    "combine": {"class": "combine", "kind": "mul", "from": ["in", "column"]},
    "combine_last": {"class": "combine", "kind": "add", "from": ["in", "gather"]},
    "eval": {"class": "eval", "eval": "source(0) * tf.tanh(source(1))", "from": ["in", "column"]},
    "eval_type": {
        "class": "eval",
        "eval": "tf.cast(source(0) > 0, 'int32')",
        "from": "in",
        "out_type": {"dtype": "int32"},
    },
    "compare": {"class": "compare", "kind": "greater", "value": 0.5, "from": "in"},
    "dropout": {"class": "dropout", "dropout": 0.5, "from": "in"},
    "activation": {"class": "activation", "activation": "log_softmax", "from": "in"},
    "linear": {"class": "linear", "n_out": 3, "activation": "tanh", "from": ["in", "column"]},
    "linear_sparse": {"class": "linear", "n_out": 3, "activation": None, "from": "data:classes"},
    "softmax": {"class": "softmax", "n_out": 3, "from": "in"},
    "rec": LSTM,
    "rec_back": {**LSTM, "direction": -1},
    "rec_sparse": {**LSTM, "from": "data:classes"},
    "rec_norm": {**LSTM, "unit": "LayerNormVariantsLSTM", "unit_opts": NORM, "n_out": 8},
    "rec_zoneout": {**LSTM, "unit": "zoneoutlstm", "unit_opts": ZONEOUT, "direction": -1},
    "rec_highway": {**LSTM, "unit": "rhn", "unit_opts": {"depth": 2, "dropout": 0.3}},
    "kenlm": WORDS,
    "kenlm_dense": {**WORDS, "dense_output": True, "input_step_offset": 1},
    "rnn_cell": {"class": "rnn_cell", "unit": "gru", "n_out": 3, "from": "in"},
    "rnn_cell_sparse": {**LSTM, "class": "rnn_cell", "unit": "LSTMBlock", "from": "data:classes"},
    "hidden": {"class": "get_last_hidden_state", "from": ["rec", "rec_zoneout"], "n_out": 12},
    "rec_net": {"class": "rec", "unit": STEPS, "from": "in"},
    "choice": {"class": "rec", "unit": SEARCHED, "from": "in"},
    "decide": {"class": "decide", "from": "choice"},
    "choice_beams": {"class": "rec", "unit": BEAMS, "from": "in"},
    "ranked": {"class": "rec", "unit": RANKED, "from": "in"},
    "beamed": {"class": "get_beamed_layer", **BEAMED, "from": "ranked"},
    "split_beam": {"class": "split_batch_beam", "from": "beam_scores"},
    "beam_scores": {"class": "choice_get_beam_scores", "from": "choice"},
    "edit_distance": {"class": "edit_distance", "a": "data:classes", "b": "data:labels"},
    "optimal_completions": {"class": "rec", "unit": TABLE, "from": "in"},
    "cum_concat": {"class": "rec", "unit": SO_FAR, "from": "in"},
    "rec_last_output": {
        "class": "rec_last_output",
        "rec_layer": "rec_net",
        "sub_layer_name": "output",
    },
    "forced_align": {
        "class": "forced_align",
        "topology": "ctc",
        "input_type": "log_prob",
        "align_target": "data:labels",
        "from": "in",
    },
    "align_scores": {"class": "copy", "from": "forced_align/scores"},
    "cond": {
        "class": "cond",
        "condition": "train_flag",
        "true_layer": "in",
        "false_layer": {"class": "linear", "n_out": 4, "activation": "tanh", "from": "in"},
    },
    "flatten_batch": {"class": "flatten_batch", "from": "in"},
    "flatten_time": {"class": "flatten_batch", "batch_major": False, "from": "in"},
    "unflatten_batch": {"class": "unflatten_batch", "from": "flatten_time"},
    "merge_batch": {"class": "merge_dims", "axes": "BT", "from": "in"},
    "split_batch_time": {"class": "split_batch_time", "base": "in", "from": "merge_batch"},
    "pixels": PIXELS,
    "unflatten_nd": {"class": "unflatten_nd", "sizes": "pixels", "num_axes": 2, "from": "in"},
    "random": {"class": "random", "shape": [2], "distribution": "normal"},
    "rand_int": {"class": "rand_int", "shape": [3], "maxval": 4},
    "subnetwork": {"class": "subnetwork", "subnetwork": NESTED, "from": "in"},
    "masked_computation": {**MASKED, "unit": {**LSTM, "from": "data"}, "from": "in"},
    "masked_labels": {**MASKED, "unit": {"class": "copy"}, "from": "data:classes"},
    "unmask": {"class": "unmask", "mask": "mask", "from": "masked_computation"},
    "pool": {"class": "pool", "mode": "max", "pool_size": [3], **WINDOWS},
    "pool_mean": {"class": "pool", "mode": "avg", "pool_size": [2], **WINDOWS},
    "pool_valid": {**WINDOWS, "class": "pool", "mode": "max", "pool_size": [2], "padding": "valid"},
    "conv": {"class": "conv", "filter_size": [3], "n_out": 3, "activation": "relu", **WINDOWS},
    "conv_strides": {"class": "conv", "filter_size": [3], "strides": 2, "n_out": 3, **WINDOWS},
    "conv_two": {**WINDOWS, **OVER_FEATURES, "class": "conv", "n_out": 3, "strides": [2, 1]},
    "conv_dilated": {**WINDOWS, "class": "conv", "filter_size": [2], "n_out": 2, **DILATED},
    "transposed_conv": {**TRANSPOSED, "strides": [2], "from": "in"},
    "transposed_valid": {**TRANSPOSED, "strides": [1], "padding": "valid", "from": "in"},
    "reduce_out": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "in"},
    "reinterpret_data": {"class": "reinterpret_data", "set_sparse_dim": 9, "from": "data:labels"},
    "reinterpret_size": {
        "class": "reinterpret_data",
        "size_base": "data:labels",
        "from": "pool_to",
    },
    "length": {"class": "length", "from": "in"},
    "loss": {"class": "loss", "from": "softmax", "loss_": "ce", "target_": "classes"},
    "loss_of_sequence": {"class": "loss", "from": "probs", "loss_": "ctc", "target_": "labels"},
    "ctc_loss": {"class": "ctc_loss", "logits": "in", "targets": "data:labels"},
    "cross_entropy": {
        "class": "sparse_softmax_cross_entropy_with_logits",
        "logits": "softmax",
        "targets": "data:classes",
    },
    "fast_bw": {
        "class": "fast_bw",
        "align_target": "ctc",
        "align_target_key": "labels",
        "from": "in",
    },
    "gather": {"class": "gather", "position": "half", "from": "in"},
    "gather_fixed": {"class": "gather", "position": 1, "axis": "F", "from": "in"},
    "gather_nd": {"class": "gather_nd", "position": "half", "from": "in"},
    "scatter_nd": {
        "class": "scatter_nd",
        "position": "places1",
        "position_axis": "T",
        "output_dim_via_time_from": "in",
        "from": "in",
    },
    "slice_nd": {"class": "slice_nd", "start": "half", "size": 2, "from": "in"},
    "slice_nd_open": {"class": "slice_nd", "start": "half", "size": None, "from": "in"},
    "search_sorted": {"class": "search_sorted", "sorted_sequence": "sorted", "values": "mean"},
    "split_dims": {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "in"},
    "split_time": {"class": "split_dims", "axis": "T", "dims": [-1, 2], "from": "in"},
    "reshape": {
        "class": "reshape",
        "in_dims": ["static:1", "static:0"],
        "out_dims": ["static:0", "static:1"],
        "from": "columns",
    },
    "merge_dims": {"class": "merge_dims", "axes": "static", "from": "columns"},
    "merge_time": {"class": "merge_dims", "axes": ["T", "F"], "from": "in"},
    "merge_order": {
        "class": "merge_dims",
        "axes": ["F", "T"],
        "keep_order": True,
        "from": "in",
    },
    "combine_dims": {"class": "combine_dims", "axes": ["static:1", "static:0"], "from": "columns"},
    "squeeze": {"class": "squeeze", "axis": "F", "from": "column"},
    "expand_dims": {"class": "expand_dims", "axis": "spatial", "dim": 2, "from": "in"},
    "swap_axes": {"class": "swap_axes", "axis1": "static:0", "axis2": "F", "from": "columns"},
    "transpose": {
        "class": "transpose",
        "perm": {"static:0": "F", "F": "static:0"},
        "from": "columns",
    },
    "slice": {"class": "slice", "axis": "F", "slice_start": 1, "slice_step": 2, "from": "in"},
    "slice_time": {"class": "slice", "axis": "T", "slice_end": -1, "from": "in"},
    "pad": {"class": "pad", "axes": "F", "padding": [1, 2], "value": 2, "from": "in"},
    "pad_time": {"class": "pad", "axes": "T", "padding": [1, 2], "from": "in"},
    "pad_mirror": {
        **{"class": "pad", "axes": "T", "padding": [1, 1], "mode": "reflect", "from": "in"},
    },
    "prefix_in_time": {"class": "prefix_in_time", "prefix": 0.5, "from": "in"},
    "prefix_half": {"class": "prefix_in_time", "repeat": "half", "from": "in"},
    "postfix_in_time": {"class": "postfix_in_time", "postfix": "mean", "repeat": 2, "from": "in"},
    "addonehot": {"class": "addonehot", "vocab_size": DIM, "position": 2, "from": "in"},
    "shift_axis": {"class": "shift_axis", "axis": "T", "amount": -1, "from": "in"},
    "window": {"class": "window", "window_size": 3, "window_right": 0, "from": "in"},
    "window_stride": {"class": "window", "window_size": 3, "stride": 2, "from": "in"},
    "cumsum": {"class": "cumsum", "from": "in"},
    "cumsum_features": {"class": "cumsum", "axis": "F", "reverse": True, "from": "in"},
    "reduce": {"class": "reduce", "mode": "mean", "axis": "T", "from": "in"},
    "reduce_max": {"class": "reduce", "mode": "max", "axes": ["T", "F"], "from": "in"},
    "reduce_arg": {"class": "reduce", "mode": "argmax", "axis": "F", "from": "in"},
    "reduce_keep": {
        **{"class": "reduce", "mode": "sum", "axes": "F", "keep_dims": True, "from": "in"},
    },
    "top_k": {"class": "top_k", "axis": "F", "k": 2, "from": "in"},
    "top_k/indices": {"class": "top_k", "axis": "F", "k": 2, "from": "in"},
    "concat": {"class": "concat", "from": [["in", "F"], ["column", "F"]]},
    "concat_time": {"class": "concat", "from": [["in", "T"], ["data:data", "T"]]},
    "split": {"class": "split", "num_splits": 2, "from": "in"},
    "split/1": {"class": "split", "num_splits": 2, "from": "in"},
    "repeat": {"class": "repeat", "repetitions": 2, "axis": "T", "from": "in"},
    "repeat_by": {"class": "repeat", "repetitions": "places", "axis": "T", "from": "in"},
    "range": {"class": "range", "limit": 5, "start": 1, "delta": 2},
    "range_in_axis": {"class": "range_in_axis", "axis": "T", "from": "in"},
    "range_from_length": {"class": "range_from_length", "from": "half"},
    "seq_len_mask": {"class": "seq_len_mask", "mask_value": 0.5, "start": "half", "from": "in"},
    "constant": {"class": "constant", "value": 1.5, "shape": [2], "with_batch_dim": True},
    "cast": {"class": "cast", "dtype": "int32", "from": "in"},
    "switch": {"class": "switch", "condition": "mask", "true_from": "in", "false_from": 0.5},
    "train_flag": {"class": "train_flag"},
    "scaled_grad": {
        **{"class": "scaled_grad", "scale": -0.5, "shift": 0.1, "from": "in"},
        **{"scale_shift_by_sum_over_axis": "T", "clip_max_axis": "F"},
    },
    "time_chunking": {"class": "time_chunking", "chunk_size": 3, "chunk_step": 2, "from": "in"},
    "chunked": {"class": "rec", "unit": "lstm", "n_out": 2, "from": "time_chunking"},
    "time_unchunking": {
        **{"class": "time_unchunking", "chunking_layer": "time_chunking", "from": "chunked"},
    },
    "tile": {"class": "tile", "multiples": {"F": 2}, "from": "in"},
    "name_axis": {"class": "name_axis", "axis": "T", "description": "other", "from": "in"},
    "reverse_sequence": {"class": "reverse_sequence", "from": "in"},
    "print": {"class": "print", "from": "in"},
    "spec_augment": {"class": "spec_augment", "time_size": 2, "feature_size": 1, "from": "in"},
    "vtlp": {"class": "vtlp", "from": "in"},
    "layer_norm": {"class": "layer_norm", "from": "in"},
    "norm": {"class": "norm", "axes": "T", "from": "in"},
    "dct": {"class": "dct", "from": "in"},
    "stack": {"class": "stack", "from": ["in", "column"]},
    "gating": {"class": "gating", "activation": "tanh", "from": "in"},
    "gating_linear": {"class": "gating", "activation": "identity", "from": "in"},
    "batch_norm": {"class": "batch_norm", "update_sample_only_in_training": True, "from": "in"},
    "accumulate_mean": {"class": "accumulate_mean", "exp_average": 0.1, "from": "in"},
    "variable": {"class": "variable", "shape": [2, 3], "add_batch_axis": True},
    "softmax_over_spatial": {"class": "softmax_over_spatial", "from": "in"},
    "softmax_window": {
        "class": "softmax_over_spatial",
        "start": "half",
        "window_start": 1,
        "window_size": 2,
        "from": "in",
    },
    "dot": {"class": "dot", "reduce": "F", "from": ["in", "in"], "var1": "T", "var2": "T"},
    "dot_time": {"class": "dot", "reduce": "T", "from": ["in", "column"]},
    "generic_attention": {"class": "generic_attention", "weights": "column", "base": "in"},
    "dot_attention": {"class": "dot_attention", "base": "in", "base_ctx": "in", "from": "last"},
    "self_attention": {**ATTENTION, "from": "in"},
    "self_attention_left": {
        **ATTENTION,
        "attention_left_only": True,
        "attention_dropout": 0.3,
        "from": "in",
    },
    "hmm_factorization": {
        "class": "hmm_factorization",
        "attention_weights": "column",
        "base_encoder_transformed": "in",
        "prev_state": "last",
        "prev_outputs": "mean",
        "n_out": 3,
    },
    "gauss_weighting": {"class": "gauss_weighting", "window_size": 3, "std": 1.5, "from": "column"},
    "sampling": {"class": "sampling", "num_sampled": 2, "from": "data:classes"},
    "sampled_logits": {
        "class": "sampled_logits",
        "sampler": "sampling",
        "labels": "data:classes",
        "from": "in",
    },
    "self_attention_shift": {**ATTENTION, "key_shift": "relative_encoding", "from": "in"},
    "positional_encoding": {"class": "positional_encoding", "add_to_input": True, "from": "in"},
    "positions": {"class": "positional_encoding", "n_out": 5, "offset": "half", "from": "in"},
    "relative_encoding": {
        "class": "relative_positional_encoding",
        "n_out": 2,
        "clipping": 2,
        "from": "in",
    },
    "stft": {**STFT, "from": "column"},
    "istft": {**STFT, "class": "istft", "from": "spectra"},
    "mel_filterbank": {
        "class": "mel_filterbank",
        "fft_size": 2,
        "nr_of_filters": 1,
        "from": "energies",
    },
    "stft_channels": {
        "class": "multichannel_stft_layer",
        "frame_size": 2,
        "fft_size": 2,
        **CHANNELS,
    },
    "stft_resolutions": {
        "class": "multichannel_multiresolution_stft_layer",
        "frame_sizes": [2, 3],
        "fft_sizes": [2, 4],
        **CHANNELS,
    },
    "twod_lstm": {"class": "twod_lstm", "n_out": 2, "pooling": "max", "from": ["in", "column"]},
    "fold": {
        "class": "fold",
        "mode": "mean",
        "in_spatial_dim": "T",
        "window_dim": "dim:3",
        "stride": 2,
        "from": "windows",
    },
    "dynamic_depthwise_conv": {
        "class": "dynamic_depthwise_conv",
        "filters": "filters",
        "from": "column",
    },
    "hdf_dump": {"class": "hdf_dump", "filename": "never written", "from": "in"},
    "fast_bw_hmm": {
        "class": "fast_bw",
        "align_target": "hmm",
        "align_target_key": "labels",
        "hmm_opts": {"states": 1},
        "from": "in",
    },
    "resize": {"class": "resize", "factor": 2, "axis": "T", "kind": "linear", "from": "in"},
    "complex_projection": {"class": "complex_linear_projection", "nr_of_filters": 2, "from": "in"},
}
# A layer with as many frames as the stream `labels` has.
CASES["pool_to"] = {"class": "pool", "mode": "max", "pool_size": [2], **WINDOWS}
