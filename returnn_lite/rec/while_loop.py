"""tf.while_loop over states with keys of any type."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf

State = dict[str, Any]


def while_loop(cond: Any, body: Any, init: tuple[Any, State]) -> tuple[Any, State]:
    """Run tf.while_loop over states with keys of any type, and batch sizes that it cannot know."""
    flat, keys = _flatten(init[1])

    def flat_cond(index: Any, *values: Any) -> Any:
        return cond(index, _unflatten(values, keys))

    def flat_body(index: Any, *values: Any) -> Any:
        index, state = body(index, _unflatten(values, keys))
        new, new_keys = _flatten(state)
        assert new_keys == keys
        return (index, *new)

    out = tf.while_loop(
        flat_cond,
        flat_body,
        (init[0], *flat),
        shape_invariants=(tf.TensorShape([]), *(_invariant(v) for v in flat)),
    )
    return out[0], _unflatten(out[1:], keys)


def _invariant(value: Any) -> Any:
    """Return the shape of a loop variable, with open batch and time."""
    if isinstance(value, tf.TensorArray):
        return tf.TensorShape(None)
    return tf.TensorShape([None, *value.shape[1:]]) if value.shape.rank else value.shape


def _flatten(state: State) -> tuple[list[Any], list[tuple[Any, ...]]]:
    keys: list[tuple[Any, ...]] = []
    values = []
    for name, value in state.items():
        if isinstance(value, dict):
            for key, item in value.items():
                keys.append((name, key))
                values.append(item)
        else:
            keys.append((name,))
            values.append(value)
    order = sorted(range(len(keys)), key=lambda i: repr(keys[i]))
    return [values[i] for i in order], [keys[i] for i in order]


def _unflatten(values: Any, keys: list[tuple[Any, ...]]) -> State:
    state: State = {"states": {}, "arrays": {}}
    for key, value in zip(keys, values, strict=True):
        if len(key) == 2:
            state[key[0]][key[1]] = value
        else:
            state[key[0]] = value
    return state
