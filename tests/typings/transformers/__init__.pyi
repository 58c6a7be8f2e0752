"""Nothing of it is checked: its own types cost the type checker half a minute."""

from typing import Any

def __getattr__(name: str) -> Any: ...
