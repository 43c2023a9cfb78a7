"""`python -m niah`."""

from niah.cli import main

if __name__ == "__main__":
    main()
