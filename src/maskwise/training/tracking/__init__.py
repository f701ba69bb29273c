"""Who keeps the figures and pictures of runs: TensorBoard, Weights & Biases, MLflow."""
