"""The operators that come with flowrt. They use nothing but the `Operation` contract."""

from flowrt.standard.causality import PopCausality, PushCausality
from flowrt.standard.choosing import Distinct, Filter, Switch
from flowrt.standard.correlator import Correlator, Envelope
from flowrt.standard.folding import Reduce, Scan
from flowrt.standard.joins import AutoResetJoin, Latest, ManualResetJoin, Zip
from flowrt.standard.scatter_gather import Gather, Gathered, Scatter
from flowrt.standard.timing import Debounce, Metronome, Ticker
from flowrt.standard.windows import Batch, Window

__all__ = [
    "AutoResetJoin",
    "Batch",
    "Correlator",
    "Debounce",
    "Distinct",
    "Envelope",
    "Filter",
    "Gather",
    "Gathered",
    "Latest",
    "ManualResetJoin",
    "Metronome",
    "PopCausality",
    "PushCausality",
    "Reduce",
    "Scan",
    "Scatter",
    "Switch",
    "Ticker",
    "Window",
    "Zip",
]
