"""Parquet: the files that the log's archive consists of."""
