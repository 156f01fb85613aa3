"""`python -m kotobamichi`."""

from kotobamichi.cli import main

if __name__ == "__main__":
    main()
