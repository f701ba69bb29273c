"""The HTTP service under load, beside a plain FastAPI and torch route with the same model."""
