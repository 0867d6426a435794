"""Which layers of conformance_table have, or do, what others do not."""

from __future__ import annotations

WHOLE_NUMBERS = (
    *("eval_type", "compare", "length", "masked_labels"),
    *("choice", "decide", "reinterpret_data", "reduce_arg", "top_k/indices", "range", "cast"),
    *("range_in_axis", "range_from_length", "search_sorted", "train_flag", "constant"),
    # Complex numbers: what has a real output is made of them.
    *("stft", "stft_channels", "stft_resolutions"),
    *(
        "sampling",
        "choice_beams",
        "beam_scores",
        "edit_distance",
        "optimal_completions",
        "forced_align",
    ),
    *("align_scores", "pixels", "ranked", "beamed", "split_beam"),
)
WITHOUT_BATCH = (
    *("accumulate_mean", "relative_encoding", "random", "rand_int"),
    *("flatten_batch", "flatten_time", "merge_batch", "time_chunking", "chunked"),
    *("sampling", "sampled_logits"),
)
# In a loop: layers of one step, and layers over a sequence that differs from step to step.
OF_A_STEP = (
    *("copy", "combine", "eval", "eval_type", "compare", "dropout", "activation", "linear"),
    *("linear_sparse", "softmax", "rec", "rec_sparse", "subnetwork", "masked_computation"),
    *("masked_labels", "reduce_out", "reinterpret_data", "vtlp", "layer_norm", "gating"),
    *("gating_linear", "variable", "self_attention_left", "positional_encoding", "positions"),
    *("rec_norm", "rec_highway", "rnn_cell", "rnn_cell_sparse", "gather_fixed", "split_dims"),
    *("merge_dims", "combine_dims", "squeeze", "expand_dims", "swap_axes", "transpose", "slice"),
    *("pad", "window", "cumsum", "cumsum_features", "reduce_arg", "reduce_keep", "top_k"),
    *("tile", "reshape", "kenlm", "kenlm_dense"),
    *("concat", "constant", "cast", "switch", "train_flag", "print", "range", "random", "rand_int"),
)
STAYING = (
    *("rec", "rec_back", "rec_net", "pool", "pool_mean", "pool_valid", "conv", "conv_strides"),
    *("conv_two", "conv_dilated", "transposed_conv", "transposed_valid"),
    *("spec_augment", "self_attention", "self_attention_left", "slice_nd_open", "prefix_half"),
    *("rec_norm", "rec_zoneout", "rec_highway", "rnn_cell", "reverse_sequence"),
    *("stft", "istft", "stft_channels", "stft_resolutions", "twod_lstm"),
)
OF_A_SEQUENCE = (
    *("copy", "combine", "eval", "eval_type", "compare", "dropout", "activation", "linear"),
    *("softmax", "rec", "rec_back", "rec_net", "subnetwork", "pool", "pool_mean", "pool_valid"),
    *("conv", "conv_strides", "reduce_out", "length", "gather", "spec_augment", "vtlp"),
    *("conv_two", "conv_dilated", "transposed_conv", "transposed_valid"),
    *("layer_norm", "gating", "gating_linear", "softmax_over_spatial", "softmax_window"),
    *("dot", "dot_time"),
    *("generic_attention", "dot_attention", "self_attention", "self_attention_left"),
    *("positional_encoding", "positions"),
    *("rec_norm", "rec_zoneout", "rec_highway", "rnn_cell"),
    *("gather_fixed", "gather_nd", "slice_nd", "slice_nd_open", "split_dims", "split_time"),
    *("search_sorted", "merge_dims", "merge_time", "merge_order", "combine_dims", "squeeze"),
    *("expand_dims", "swap_axes", "transpose", "slice", "slice_time", "pad", "pad_time"),
    *("pad_mirror", "prefix_in_time", "postfix_in_time", "addonehot", "shift_axis", "window"),
    *("window_stride", "hmm_factorization"),
    *("cumsum", "cumsum_features", "reduce", "reduce_max", "reduce_arg", "reduce_keep", "top_k"),
    *("scaled_grad", "tile", "name_axis", "reverse_sequence"),
    *("concat", "repeat", "range_in_axis", "seq_len_mask", "cast", "print", "prefix_half"),
    *("stft", "istft", "stft_channels", "stft_resolutions", "complex_projection"),
    *("mel_filterbank", "twod_lstm", "fold", "dynamic_depthwise_conv", "resize", "reshape"),
)
