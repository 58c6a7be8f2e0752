"""The copy of a run in MLflow."""
