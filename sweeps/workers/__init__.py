"""The processes that train and measure: take work from the queue, run it, file what it gave."""
