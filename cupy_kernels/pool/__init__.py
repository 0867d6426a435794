"""Maximum or mean of windows over images, with its gradient."""

from cupy_kernels.pool.op import pool, pool_gradient

__all__ = ["pool", "pool_gradient"]
