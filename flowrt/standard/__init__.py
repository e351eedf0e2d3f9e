"""The operators that come with flowrt. They use nothing but the `Operation` contract.

They may import `operations` and the ground below it: no thread, no clock, no engine. Begin with `choosing`, the simplest; `keeping` is what
those share that keep something: by list or run, by correlation id, with bounds. What a flow makes lists of and back is `scatter_gather`.
Each is loaded when it is first asked for: a flow uses few of them, and importing flowrt is to cost little.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULE_OF = {
    name: module
    for module, names in (
        ("causality", "PopCausality PushCausality"),
        ("choosing", "Distinct Filter Switch"),
        ("correlator", "Correlator Envelope"),
        ("folding", "Reduce Scan"),
        ("joins", "AutoResetJoin Latest ManualResetJoin Zip"),
        ("scatter_gather", "Gather Gathered Scatter"),
        ("timing", "Debounce Metronome Ticker"),
        ("windows", "Batch Window"),
    )
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(__import__(f"{__name__}.{_MODULE_OF[name]}", fromlist=[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
