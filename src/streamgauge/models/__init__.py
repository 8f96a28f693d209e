"""Learning: the dataset, the split, training, calibration, evaluation, the Registry port and the ONNX export."""
