"""What customers leave with us: files, and, where they choose so, prompts and answers.

In: bytes with a name and a purpose; ended requests. Out: the same again, for whoever it belongs to and nobody else.
Everything is encrypted under a key of each tenant; destroying it makes all unreadable at once, and the books stay
whole, since nothing of it ever enters the log or the lake. Start with policy.py, then records.py and files.py.
"""

from mintage.content.content import Content
from mintage.content.files import FILES_MAX, FileEntry, FileStore
from mintage.content.policy import KEEPS, ContentPolicy, Policies
from mintage.content.records import Records

__all__ = ["FILES_MAX", "KEEPS", "Content", "ContentPolicy", "FileEntry", "FileStore", "Policies", "Records"]
