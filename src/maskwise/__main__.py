"""`python -m maskwise`, which torchrun can start."""

from maskwise.cli import main

if __name__ == "__main__":
    main()
