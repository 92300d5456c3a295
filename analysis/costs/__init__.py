"""What a model costs to train and to serve on a device: hours, money, energy, memory, latency, throughput."""
