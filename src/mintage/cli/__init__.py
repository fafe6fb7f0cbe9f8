"""What people type: `mintage ...`. No business rule lives here: it is a client of the admin API.

In: words on a command line. Out: tables for people, one JSON object for scripts, an exit code of exits.py.
While a server runs, commands go to it over HTTP; else they open the home themselves, as its one writer.
Start with main.py (the commands), then client.py (how they reach the API).
"""


def main() -> None:
    """The `mintage` script. The commands are imported here, so that importing the package stays cheap."""
    from mintage.cli.main import main as start

    start()


__all__ = ["main"]
