"""Demonstrations, one folder each. ``icefloe demo`` runs :mod:`icefloe.demos.call`."""
