"""The figures that an entry draws and saves, read off its trace.

What Matplotlib, seaborn and pandas do here was checked with the libraries themselves: seaborn's
functions draw a legend by themselves for ``hue=`` and ``label=``, pandas for several columns, and
seaborn's figure-level functions lay out their figure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from explint.artifacts.files import argument, tail
from explint.artifacts.paths import Paths
from explint.trace import facts as f
from explint.trace.specialise import Specialised, evaluate

_PYPLOT: Final = "matplotlib.pyplot."
_MAKES: Final = frozenset({"figure", "subplots", "subplot_mosaic"})
_CURRENT: Final = frozenset({"gcf", "gca", "subplot", "axes", "subplot2grid", "twinx"})
_LINES: Final = frozenset(
    {"plot", "errorbar", "step", "semilogx", "semilogy", "loglog", "plot_date", "lineplot"}
)
_SERIES: Final = _LINES | {
    "scatter", "bar", "barh", "hist", "stackplot", "scatterplot", "kdeplot", "histplot",
    "ecdfplot", "fill_between", "axhline", "axvline", "stem",
}  # fmt: skip
_OTHER_DRAWN: Final = frozenset(
    {
        "boxplot", "violinplot", "imshow", "pcolormesh", "matshow", "contour", "contourf", "pie",
        "heatmap", "barplot", "stripplot", "swarmplot", "pointplot", "countplot", "boxenplot",
        "regplot", "residplot", "hexbin", "hist2d", "table", "plot_surface", "quiver", "hlines",
        "vlines", "fill_betweenx", "rugplot", "clustermap",
    }
)  # fmt: skip
_GRIDS: Final = frozenset(
    {
        "relplot", "catplot", "displot", "lmplot", "jointplot", "pairplot", "clustermap",
        "FacetGrid", "PairGrid", "JointGrid",
    }
)  # fmt: skip
_ANNOTATES: Final = frozenset(
    {"annotate", "text", "bar_label", "figtext", "table", "clabel", "add_artist", "text2D"}
)
_LAYOUT: Final = frozenset(
    {"tight_layout", "set_layout_engine", "set_constrained_layout", "set_tight_layout",
     "subplots_adjust"}
)  # fmt: skip
_LAYOUT_SETTINGS: Final = frozenset(
    {"figure.autolayout", "figure.constrained_layout.use", "savefig.bbox"}
)
_SAVES: Final = frozenset({"savefig", "write_image", "write_html", "print_figure"})
_LOGS: Final = frozenset({"wandb.Image", "wandb.Plotly"})


class Drawing(msgspec.Struct, frozen=True):
    """A call that draws.

    ``axes`` is the value it draws on, None for the current axes; ``labelled`` says that it names
    a series for a legend; ``own_legend`` that the library adds the legend by itself; ``loops`` are
    the loops the call stands in.
    """

    event: f.LibraryCall
    name: str
    axes: f.ValueId | None
    labelled: bool
    own_legend: bool
    loops: frozenset[int]


class Save(msgspec.Struct, frozen=True):
    """A place where a figure is saved, with the texts that its path may have."""

    event: f.LibraryCall
    state: bool | None
    paths: tuple[str, ...]


class Figure(msgspec.Struct):
    """A figure from its making to where it is saved.

    ``open`` says that code which is not followed may have drawn on it. ``legend_on`` are the axes
    that get a legend; None stands for the current axes or the whole figure. ``logged`` is where
    W&B gets the figure as a picture.
    """

    made: f.LibraryCall | None
    loops: frozenset[int]
    drawings: list[Drawing] = msgspec.field(default_factory=list)
    saves: list[Save] = msgspec.field(default_factory=list)
    legend_on: set[f.ValueId | None] = msgspec.field(default_factory=set)
    annotated: bool = False
    laid_out: bool = False
    open: bool = False
    logged: f.LibraryCall | None = None


def figures(special: Specialised, paths: Paths) -> list[Figure]:
    """The figures that may be drawn, in the order of their making."""
    return _Gallery(special, paths).walk()


class _Gallery:
    def __init__(self, special: Specialised, paths: Paths) -> None:
        self.special = special
        self.paths = paths
        self.entry = special.env.entry
        self.found: list[Figure] = []
        self.of_event: dict[int, Figure] = {}
        self.current: Figure | None = None

    def walk(self) -> list[Figure]:
        for number, event in self.special.happening_of(f.LibraryCall):
            self._call(number, event)
        if any(row.value in _LAYOUT_SETTINGS for _, row in self.entry.values_of(f.Literal)):
            for figure in self.found:
                figure.laid_out = True
        return self.found

    def _new(self, number: int, event: f.LibraryCall) -> Figure:
        figure = Figure(event, self._loops(event.guard))
        self.found.append(figure)
        self.of_event[number] = figure
        return figure

    def _loops(self, guard: int) -> frozenset[int]:
        loops = set()
        while guard:
            row = self.entry.guards[guard]
            condition = self.entry.values[row.condition]
            if isinstance(condition, f.Ran) and row.expected:
                loops.add(condition.loop)
            guard = row.parent
        return frozenset(loops)

    def _call(self, number: int, event: f.LibraryCall) -> None:
        name = tail(event.name)
        pyplot = event.name.startswith(_PYPLOT) and "(" not in event.name
        if (pyplot and name in _MAKES) or event.name == "matplotlib.figure.Figure":
            self.current = self._new(number, event)
            if self._flag(event, "constrained_layout", "tight_layout", "layout"):
                self.current.laid_out = True
            return
        seaborn = event.name.startswith("seaborn.") and "(" not in event.name
        if seaborn and name in _GRIDS:
            self.current = self._new(number, event)
            self.current.laid_out = True
            self.current.drawings.append(self._drawing(event, name, None, own_legend=True))
            self.current.annotated = self._flag(event, "annot")
            return
        figure, axes = self._target(event, pyplot=pyplot, seaborn=seaborn)
        if pyplot and name in ("close", "clf"):
            self.current = None
            return
        if figure is None and (pyplot or seaborn) and (name in _SERIES or name in _OTHER_DRAWN):
            figure = self.current = self._new(number, event)
        if figure is None:
            figure = self._other(number, event, name)
            if figure is None:
                return
        if pyplot or seaborn:
            self.of_event.setdefault(number, figure)
        self._on(figure, axes, event, name, seaborn=seaborn, number=number)

    def _on(
        self,
        figure: Figure,
        axes: f.ValueId | None,
        event: f.LibraryCall,
        name: str,
        *,
        seaborn: bool,
        number: int,
    ) -> None:
        if name in _SAVES:
            target = argument(event, 0, "fname", "filename", "file")
            texts = self.paths.of(target) if target is not None else ()
            figure.saves.append(Save(event, self.special.states[number], texts))
            if self._flag(event, "bbox_inches"):
                figure.laid_out = True
        elif name in _LAYOUT:
            figure.laid_out = True
        elif name == "legend":
            figure.legend_on.add(axes)
        elif name in _ANNOTATES:
            figure.annotated = True
            if name == "table":
                figure.drawings.append(self._drawing(event, name, axes))
        elif name in _SERIES or name in _OTHER_DRAWN:
            own = seaborn and any(k in ("hue", "style", "label", "size") for k, _ in event.kwargs)
            figure.drawings.append(self._drawing(event, name, axes, own_legend=own))
            if self._flag(event, "annot", "autopct"):
                figure.annotated = True

    def _drawing(
        self,
        event: f.LibraryCall,
        name: str,
        axes: f.ValueId | None,
        *,
        own_legend: bool = False,
    ) -> Drawing:
        label = next((v for k, v in event.kwargs if k == "label"), None)
        said = None if label is None else evaluate(label, self.special.env)
        labelled = label is not None and said not in (None, "", "_nolegend_")
        return Drawing(event, name, axes, labelled, own_legend, self._loops(event.guard))

    def _target(
        self, event: f.LibraryCall, *, pyplot: bool, seaborn: bool
    ) -> tuple[Figure | None, f.ValueId | None]:
        """The figure and the axes that a call is about; None for the current axes."""
        given = next((v for k, v in event.kwargs if k in ("ax", "axes", "figure", "fig")), None)
        if given is not None:
            figure = self._figure_of(given)
            if figure is not None:
                return figure, given
        if pyplot or seaborn:
            return self.current, None
        callee = self.entry.values[event.callee]
        if not isinstance(callee, f.Attribute):
            return None, None
        figure = self._figure_of(callee.of)
        if tail(event.name) == "savefig" and event.args and "PdfPages" in event.name:
            return self._figure_of(event.args[0]) or self.current, None
        whole = figure is not None and self._is_figure(callee.of)
        return figure, None if whole else callee.of

    def _is_figure(self, value: f.ValueId) -> bool:
        row = self.entry.values[value]
        match row:
            case f.CallValue(event=event):
                return event in self.of_event
            case f.Item(of=of, key=key):
                inner = self.entry.values[of]
                return isinstance(inner, f.CallValue) and self.entry.values[key] == f.Literal(0)
            case f.Attribute(name="figure" | "fig"):
                return True
        return False

    def _figure_of(self, value: f.ValueId) -> Figure | None:
        """The figure that a value belongs to: itself, its axes, what they gave back."""
        at: f.ValueId | None = value
        for _ in range(30):
            if at is None:
                return None
            row = self.entry.values[at]
            match row:
                case f.CallValue(event=event, callee=callee_id):
                    if event is not None and event in self.of_event:
                        return self.of_event[event]
                    callee = self.entry.values[callee_id]
                    if isinstance(callee, f.Library) and callee.name.startswith(_PYPLOT):
                        return self.current if tail(callee.name) in _CURRENT else None
                    if isinstance(callee, f.Attribute):
                        at = callee.of
                    else:
                        at = row.args[0] if row.args else None
                case f.Attribute(of=of) | f.Item(of=of) | f.Element(of=of):
                    at = of
                case f.Select(yes=yes, no=no):
                    return self._figure_of(yes) or self._figure_of(no)
                case _:
                    return None
        return None

    def _other(self, number: int, event: f.LibraryCall, name: str) -> Figure | None:
        """What draws without a figure of Matplotlib in sight: pandas, plotly, other libraries."""
        if name in _SAVES:
            figure = self._new(number, event)
            figure.open = True
            return figure
        if name == "plot" or ".plot." in event.name or name == "boxplot":
            # pandas: on the axes given, else on a figure of its own, with a legend of its own.
            figure = self._new(number, event)
            figure.open = True
            self.current = figure
            return figure
        library = event.name.partition(".")[0].partition("(")[0]
        given = [*event.args, *(v for _, v in event.kwargs)]
        if library in ("print", "matplotlib", "seaborn", "len", "logging"):
            return None
        for value in given:
            touched = self._figure_of(value) if self._may_draw(value) else None
            if touched is not None:
                touched.open = True
                if event.name in _LOGS:
                    touched.logged = touched.logged or event
        if "plot" in name.lower() and self.current is not None:
            self.current.open = True
        return None

    def _may_draw(self, value: f.ValueId) -> bool:
        return isinstance(self.entry.values[value], f.CallValue | f.Item | f.Attribute | f.Select)

    def _flag(self, event: f.LibraryCall, *names: str) -> bool:
        """Whether one of the keywords is given and not off."""
        for key, value in event.kwargs:
            if key in names and evaluate(value, self.special.env) not in (None, False, "none"):
                return True
            if key == "**":
                return True
        return False
