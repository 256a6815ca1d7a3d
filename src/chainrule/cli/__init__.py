"""The command line: one command a file, imported when it is called.

Messages and progress go to standard error; standard output holds the result, with ``--json``
exactly one JSON object. Exit codes: 0 done, 1 the run failed or a check did not pass, 2 a user's
mistake, 130 interrupted, 141 standard output closed.
"""


def main() -> None:
    """Run the command line and exit."""
    from chainrule.cli.app import app

    app.main()
