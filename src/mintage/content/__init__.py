"""What customers leave with us: files. Encrypted under a key of each tenant, which can be destroyed.

In: bytes with a name and a purpose. Out: the same bytes, for the project that left them and nobody else.
Nothing of it ever enters the log or the lake. Destroying a tenant's key makes all of its files unreadable at once.
Start with files.py.
"""

from mintage.content.files import FILES_MAX, FileEntry, FileStore

__all__ = ["FILES_MAX", "FileEntry", "FileStore"]
