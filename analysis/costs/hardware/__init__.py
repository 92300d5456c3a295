"""Devices to train and serve on: a file each, `NAME.toml`, with the source of every figure."""
