"""What a model costs on this machine: time of each part, memory, latency, heat."""
