"""Controls above a figure: thin ipywidgets over plain functions that return figures."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from sslcourse.errors import UserError
from sslcourse.plots.figure import (
    bundle,
)


def controls(**choices) -> dict[str, object]:
    """One ipywidget per name: (low, high[, step]) is a slider, a list a menu, a bool a box."""
    from ipywidgets import Widget, interactive

    made = {}
    for name, choice in choices.items():
        widget = choice if isinstance(choice, Widget) else interactive.widget_from_abbrev(choice)
        if widget is None:
            raise UserError(
                f"play: {name}={choice!r} is no control; give (low, high, step), a list or a bool"
            )
        widget.description = name.replace("_", " ")
        if hasattr(widget, "continuous_update"):
            widget.continuous_update = False  # redraw when the slider is let go
        widget.style.description_width = "initial"
        made[name] = widget
    return made


def play(function: Callable[..., Figure], **choices) -> None:
    """Controls above the figure that `function(**values)` returns; moving one redraws it.

    choices: see `controls`. The figure at the controls' first values is an ordinary output, so a page that
    cannot run shows it, with its caption and alt text. ipywidgets 7.7 and 8.
    """
    from IPython.display import display
    from ipywidgets import VBox

    made = controls(**choices)

    def draw() -> tuple[dict, dict]:
        return bundle(function(**{name: widget.value for name, widget in made.items()}))

    data, metadata = draw()
    widget = {"version_major": 2, "version_minor": 0, "model_id": VBox(list(made.values())).model_id}
    note = f"[controls, live in a running notebook: {', '.join(w.description for w in made.values())}]"
    display({"application/vnd.jupyter.widget-view+json": widget, "text/plain": note}, raw=True)
    shown = display(data, metadata=metadata, raw=True, display_id=True)

    def redraw(_change: dict) -> None:
        data, metadata = draw()
        shown.update(data, metadata=metadata, raw=True)

    for control in made.values():
        control.observe(redraw, names="value")


PLACES = ("upper left", "above", "upper right", "left", "right", "lower left", "below", "lower right")
