"""RETURNN's side of the checkpoints: writes one, or reads one, and tells the outputs.

Usage, in an environment as make_references.py needs it:
PYTHONPATH=<project>:<project>/tests/returnn_lite python make_checkpoint.py <case> <prefix> <mode>
mode: "write" a checkpoint of the case's parameters, or "read" one; either way, the outputs go to
<prefix>.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import returnn.tf.compat as tf_compat
import tensorflow as tf
from make_references import _feed, _outputs
from returnn.config import Config, global_config_ctx
from returnn.tf.network import TFNetwork
from returnn.util.basic import BackendEngine
from returnn_cases import CASES, parameters


def main() -> None:
    """Write or read a checkpoint, and write the outputs beside it."""
    name, prefix, mode = sys.argv[1:]
    case = CASES[name]
    config = Config({"extern_data": case.streams, "backend": "tensorflow-net-dict", **case.config})
    with global_config_ctx(config):
        BackendEngine.select_engine(config=config)
        with tf.Graph().as_default(), tf_compat.v1.Session() as session:
            network = TFNetwork(config=config, train_flag=False, eval_flag=False)
            network.construct_from_dict(case.net_for_returnn())
            if mode == "write":
                network.initialize_params(session)
                variables = {p.name.partition(":")[0]: p for p in network.get_params_list()}
                shapes = {k: tuple(v.shape.as_list()) for k, v in variables.items()}
                for key, value in parameters(shapes).items():
                    variables[key].load(value, session)
                network.save_params_to_file(prefix, session)
                # The graph, and a file with the path.
                Path(f"{prefix}.meta").unlink()
                (Path(prefix).parent / "checkpoint").unlink()
            else:
                network.load_params_from_file(prefix, session)
            found = session.run(_outputs(network, case), _feed(network, case))
    np.savez_compressed(Path(f"{prefix}.npz"), **found)


if __name__ == "__main__":
    main()
