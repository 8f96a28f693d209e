"""MLflow: tracking of training runs, beside the directory that models are served from."""
