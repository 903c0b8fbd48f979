"""`python -m dbos.cli` is `dbos`."""

from dbos.cli.entry import main

if __name__ == "__main__":
    main()
