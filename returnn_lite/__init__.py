"""A compact TensorFlow engine in which a network is a dict of layers; importing this is cheap."""
