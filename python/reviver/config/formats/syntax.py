"""Places in a syntax tree of tree-sitter, counted as a person counts them."""

from tree_sitter import Node

from reviver.config.positions import Mark

__all__ = ["Columns"]


class Columns:
    """Marks of nodes: tree-sitter counts columns in bytes, editors show characters."""

    def __init__(self, raw: bytes) -> None:
        self._lines = raw.split(b"\n")

    def mark(self, node: Node) -> Mark:
        """Line and column of a node's first character."""
        row, column = node.start_point
        return Mark(row + 1, len(self._lines[row][:column].decode(errors="replace")) + 1)
