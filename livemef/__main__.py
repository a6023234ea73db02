"""`python -m livemef`: the command line."""

from livemef.tools.cli import main

if __name__ == "__main__":
    main()
