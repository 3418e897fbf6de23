"""Images, in memory or streamed: `load(name) -> Data`. Everything is imported when first used."""

from importlib import import_module

_HOME = {
    "load": "catalog",
    "describe": "catalog",
    "ImageSet": "images",
    "Data": "images",
    "pick_device": "images",
    "cache_dir": "images",
    "StreamedSet": "stream",
    "load_folder": "folder",
    "load_images": "folder",
    "load_photographs": "builtin",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
