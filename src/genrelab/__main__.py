"""`python -m genrelab` is the command `genrelab`."""

from genrelab.cli.main import main

if __name__ == "__main__":  # worker processes import this file, too
    main()
