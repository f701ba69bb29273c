"""The HTTP service and its page: photos come in, answers go out, nothing is kept."""
