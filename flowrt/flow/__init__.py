"""What is drawn: operations, streams and flows in flows; their text, what is wrong with them, pictures of them. Nothing runs here.

Begin with `flow.py` and `container.py`, which users fill. `definition.py` is what a flow is made of, once it is used; `sites.py` finds where
each stream leads, `faults.py` what keeps a flow from being built. `checks/` and `diagrams/` look at flows, and nothing needs them.
Of flowrt, `operations` and `standard` are imported, and the ground; only `text.py`, `packages.py` and `diagrams/picture.py` know files and imports.
"""
