"""The compiled kernels: what computes a stream's aggregates from rows, from summaries of rows, or along moments."""
