"""Figures that a reader works with: plots, maps, live curves, and any function with sliders.

They are anywidgets: they work on the pages of nn2llm, in Jupyter, VS Code and Colab, from the keyboard and
with a screen reader; `to_svg()` gives a picture for whatever runs no script. Importing this imports no torch.
Read base.py first, then the figure you want. Used by the cells and figures.py of lessons.
"""

from nn2llm.course.figures.base import Figure
from nn2llm.course.figures.boundary import Boundary
from nn2llm.course.figures.controls import choice, slider, switch
from nn2llm.course.figures.draw import Draw
from nn2llm.course.figures.errors import FigureError
from nn2llm.course.figures.graph import Graph
from nn2llm.course.figures.heatmap import Heatmap
from nn2llm.course.figures.interaction import Interact, interact
from nn2llm.course.figures.loss_curve import LossCurve
from nn2llm.course.figures.nodes import Node
from nn2llm.course.figures.plot import Plot
from nn2llm.course.figures.surface import Surface
from nn2llm.course.figures.tokens import Tokens

__all__ = [
    "Boundary",
    "Draw",
    "Figure",
    "FigureError",
    "Graph",
    "Heatmap",
    "Interact",
    "LossCurve",
    "Node",
    "Plot",
    "Surface",
    "Tokens",
    "choice",
    "interact",
    "slider",
    "switch",
]
