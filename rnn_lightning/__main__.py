"""`python -m rnn_lightning`: the command line."""

from rnn_lightning.cli import main

if __name__ == "__main__":
    main()
