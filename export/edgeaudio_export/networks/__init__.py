"""Networks: spectrogram to embedding, as nodes of a graph, from weights under canonical names."""
