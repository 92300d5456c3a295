"""The processes that train: take work from the queue, run it, file what it gave."""
