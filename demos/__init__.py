"""Demo programs, one module or folder each. ``icefloe demo`` runs :mod:`icefloe.demos.call`."""
