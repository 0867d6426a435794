"""A network of RETURNN's in a session, for contestants that run in the Python that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Parameters = Callable[[dict[str, tuple[int, ...]]], Mapping[str, Any]]


class ReturnnNetwork:
    """A network as built by RETURNN from a dict, and the session that it runs in.

    settings: the config. train: None for a flag of the graph, as in cross-validation.
    """

    def __init__(
        self,
        net: dict[str, Any],
        settings: dict[str, Any],
        threads: int,
        *,
        train: bool | None,
        search: bool = False,
    ):
        import returnn.tf.compat as tf_compat
        import tensorflow as tf
        from returnn.config import Config, global_config_ctx
        from returnn.tf.network import TFNetwork
        from returnn.util.basic import BackendEngine

        config = Config({"backend": "tensorflow-net-dict", "log_verbosity": 1, **settings})
        tf.Graph().as_default().__enter__()
        global_config_ctx(config).__enter__()
        BackendEngine.select_engine(config=config)
        options = tf_compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=max(2, threads)
        )
        self.v1 = tf_compat.v1
        self.session = self.v1.Session(config=options)
        flag = self.v1.placeholder_with_default(False, ()) if train is None else train
        self.network = TFNetwork(config=config, train_flag=flag, search_flag=search)
        self.network.construct_from_dict(net)

    def initialise(self, parameters: Parameters | None = None) -> None:
        """Set all variables, those of an optimiser too; parameters: values by names and shapes."""
        self.session.run(self.v1.global_variables_initializer())
        if parameters is None:
            return
        variables = {p.op.name: p for p in self.network.get_params_list()}
        values = parameters({k: tuple(v.shape.as_list()) for k, v in variables.items()})
        for name, variable in variables.items():
            variable.load(values[name], self.session)

    def runner(self, fetches: dict[str, Any], batch: Mapping[str, Any]) -> Callable[[], Any]:
        """Return a function that fetches from a batch, of values and lengths by stream."""
        feed = {}
        for key, (array, lengths) in batch.items():
            data = self.network.extern_data.data[key]
            feed |= {data.placeholder: array, data.get_sequence_lengths(): lengths}
        return lambda: self.session.run(fetches, feed)
