"""How the model that comes along was made, and its figures."""
