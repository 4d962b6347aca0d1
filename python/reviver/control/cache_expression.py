"""Expressions that select stored responses: Python's syntax, read here, evaluated by the engine.

    path.startswith("/img/") and age > "1h"
    "shop" in tags and not status == 200
    host in ("a.example", "b.example") or content_type.matches("^video/")

An expression becomes a tree of nodes: `{"all": [...]}`, `{"any": [...]}`, `{"not": NODE}` and
`{"field": F, "op": OP, "value": V}`. Nothing of it is ever run as Python.
"""

import ast
import difflib
import warnings
from typing import Any, NoReturn

from reviver.errors import ReviverError

Node = dict[str, Any]

TEXTS = ("url", "scheme", "host", "path", "query", "content_type", "variant", "stored_as")
LISTS = ("tags", "groups")
SPANS = ("age", "ttl")
"""Seconds, or a text such as "5m"."""
SIZES = ("size",)
"""Bytes, or a text such as "1MiB"."""
NUMBERS = (*SPANS, *SIZES, "status", "hits")
FIELDS = (*TEXTS, *LISTS, *NUMBERS)
TIERS = ("memory", "disk")
"""What `stored_as` can be."""

LONGEST = 4000
"""Characters of an expression; its nodes then fit into one request."""
DEEPEST = 32
"""Nodes within each other; the engine's reader of JSON has a limit too."""
LARGEST = 2**63 - 1

_COMPARED = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_TURNED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
"""The same comparison with its sides exchanged."""
_CALLED = {"startswith": "starts_with", "endswith": "ends_with", "matches": "matches"}


class ExpressionError(ReviverError):
    """An expression that cannot be used; the text says what is wrong, and in which column."""

    def __init__(self, text: str, sentence: str, start: int, end: int, hint: str | None = None) -> None:
        self.sentence = sentence
        self.hint = hint
        before = text[:start]
        self.line = before.count("\n") + 1
        self.column = start - before.rfind("\n")
        """In characters, from 1, on that line."""
        self._shown = text.split("\n")[self.line - 1]
        self._length = max(1, min(end - start, len(self._shown) - self.column + 1))
        line = f"line {self.line}, " if "\n" in text else ""
        super().__init__(f"{line}column {self.column}: {sentence}" + (f" ({hint})" if hint else ""))

    def caret(self) -> str:
        """The line of the expression, and under it a mark."""
        clean = "".join(c if c.isprintable() else " " for c in self._shown)
        return f"{clean}\n{' ' * (self.column - 1)}^{'~' * (self._length - 1)}"


def compiled(text: str) -> Node:
    """The nodes of an expression. Raises ExpressionError and nothing else."""
    if len(text) > LONGEST:
        raise ExpressionError(text[:LONGEST], f"an expression is at most {LONGEST} characters", LONGEST - 1, LONGEST)
    return _Reader(text).read()


class _Reader:
    """One expression. Columns of syntax trees are bytes of UTF-8; those of errors are characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._indent = len(text) - len(text.lstrip())
        """What Python would take for an indentation."""
        self._read = text[self._indent :].rstrip()
        self._starts = [0]
        for line in self._read.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def read(self) -> Node:
        if not self._read:
            self._refuse_at(0, 1, "there is no expression", 'write for example age > "1h"')
        if (zero := self._read.find("\0")) >= 0:
            self._refuse_at(zero, zero + 1, "this character is none")
        try:
            with warnings.catch_warnings():
                # an escape that Python does not know stays as it is written, which suits patterns
                warnings.simplefilter("ignore")
                tree = ast.parse(self._read.replace("\r", " ").replace("\f", " "), mode="eval")
        except SyntaxError as error:
            self._refuse_syntax(error)
        except (ValueError, RecursionError, MemoryError, OverflowError):
            self._refuse_at(0, len(self._read), "this is not an expression")
        return self._node(tree.body, 0)

    # ---- nodes

    def _node(self, at: ast.expr, depth: int) -> Node:
        if depth > DEEPEST:
            self._refuse(at, "too much is nested here")
        match at:
            case ast.BoolOp():
                word = "all" if isinstance(at.op, ast.And) else "any"
                return {word: [self._node(part, depth + 1) for part in at.values]}
            case ast.UnaryOp(op=ast.Not()):
                return {"not": self._node(at.operand, depth + 1)}
            case ast.Compare():
                return self._comparisons(at)
            case ast.Call():
                return self._call(at)
            case ast.Name():
                field = self._field(at)
                self._refuse(at, f"{field} alone is not a condition", _example(field))
            case ast.NamedExpr():
                self._refuse(at, "nothing can be assigned here", "did you mean ==?")
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                self._refuse(at, "conditions are joined by words", "write and, or, not")
            case _:
                self._refuse(at, "this is not a condition", 'write for example age > "1h"')

    def _comparisons(self, at: ast.Compare) -> Node:
        """`1 < age < 9` is two of them."""
        sides = [at.left, *at.comparators]
        found = [self._comparison(*pair) for pair in zip(sides, at.ops, sides[1:], strict=False)]
        return found[0] if len(found) == 1 else {"all": found}

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Node:
        if isinstance(op, (ast.Is, ast.IsNot)):
            self._refuse(left, "'is' compares nothing here", "write == or !=", until=right)
        if isinstance(op, (ast.In, ast.NotIn)):
            node = self._membership(left, right)
            return node if isinstance(op, ast.In) else {"not": node}
        word = _COMPARED[type(op)]
        if not isinstance(left, ast.Name) and isinstance(right, ast.Name):
            left, right, word = right, left, _TURNED[word]
        if not isinstance(left, ast.Name):
            self._refuse(left, "a comparison needs a field on one side", f"there are: {', '.join(FIELDS)}", until=right)
        field = self._field(left)
        if isinstance(right, ast.Name):
            self._refuse_word(right)
        if field in LISTS:
            self._refuse(left, f"{field} is a list", _example(field), until=right)
        if field in TEXTS and word not in ("eq", "ne"):
            self._refuse(left, f"{field} is a text, which is neither less nor more", "write == or !=", until=right)
        return {"field": field, "op": word, "value": self._value(field, right)}

    def _membership(self, left: ast.expr, right: ast.expr) -> Node:
        """`"x" in tags`, `"x" in path` or `host in ("a", "b")`."""
        if isinstance(right, ast.Name):
            field = self._field(right)
            if isinstance(left, ast.Name):
                self._refuse_word(left)
            if field in NUMBERS:
                self._refuse(right, f"{field} is a number and holds nothing", _example(field))
            return {"field": field, "op": "contains", "value": self._string(left)}
        if not isinstance(left, ast.Name):
            self._refuse(left, "'in' needs a field on one side", 'write "x" in tags or host in ("a", "b")', until=right)
        field = self._field(left)
        if field in LISTS:
            self._refuse(left, f"{field} is a list", _example(field), until=right)
        if not isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            self._refuse(right, f"after '{field} in' comes a list of values", f'write {field} in ("a", "b")')
        if not right.elts:
            self._refuse(right, "nothing is in an empty list")
        return {"field": field, "op": "in", "value": [self._value(field, item) for item in right.elts]}

    def _call(self, at: ast.Call) -> Node:
        """`path.startswith("x")`, or `startswith(path, "x")`."""
        arguments = list(at.args)
        match at.func:
            case ast.Attribute():
                subject, name = at.func.value, at.func.attr
            case ast.Name() if arguments:
                subject, name = arguments.pop(0), at.func.id
            case _:
                self._refuse(at, "this cannot be called", f"there are: {', '.join(_CALLED)}")
        if name not in _CALLED:
            self._refuse(at.func, f"there is no {_quoted(name)} to call", _near(name, (*_CALLED,)), last=len(name))
        if not isinstance(subject, ast.Name):
            self._refuse(subject, f"{name} is asked of a field", f'write path.{name}("...")')
        field = self._field(subject)
        if field not in TEXTS:
            kind = "a list" if field in LISTS else "a number"
            self._refuse(subject, f"{field} is {kind}, and {name} is asked of a text", _example(field))
        if len(arguments) != 1 or at.keywords:
            self._refuse(at, f"{name} takes one text", f'write {field}.{name}("...")')
        value = self._string(arguments[0])
        if name == "matches":
            self._check_pattern(value, arguments[0])
        return {"field": field, "op": _CALLED[name], "value": value}

    def _field(self, at: ast.Name) -> str:
        if at.id not in FIELDS:
            self._refuse(at, f"there is no {_quoted(at.id)}", _near(at.id, FIELDS))
        return at.id

    # ---- values

    def _value(self, field: str, at: ast.expr) -> str | int | float:
        if field in NUMBERS:
            return self._number(field, at)
        value = self._string(at)
        if field == "stored_as" and value not in TIERS:
            self._refuse(at, f"stored_as is never {_quoted(value)}", f'it is "{TIERS[0]}" or "{TIERS[1]}"')
        return value

    def _string(self, at: ast.expr) -> str:
        if isinstance(at, ast.Constant) and isinstance(at.value, str):
            if not at.value.isascii() and any("\ud800" <= c <= "\udfff" for c in at.value):
                self._refuse(at, "this text has a character that is none")
            return at.value
        if isinstance(at, ast.Name):
            self._refuse_word(at)
        if isinstance(at, ast.JoinedStr):
            self._refuse(at, "texts are plain here", 'write "..." without f')
        self._refuse(at, "a text is needed here", 'write it in quotes: "..."')

    def _number(self, field: str, at: ast.expr) -> int | float:
        if isinstance(at, ast.Constant) and isinstance(at.value, str) and field in (*SPANS, *SIZES):
            return self._quantity(field, at.value, at)
        negative, number = False, at
        if isinstance(at, ast.UnaryOp) and isinstance(at.op, (ast.USub, ast.UAdd)):
            negative, number = isinstance(at.op, ast.USub), at.operand
        found = number.value if isinstance(number, ast.Constant) else None
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            if isinstance(at, ast.Name):
                self._refuse_word(at)
            self._refuse(at, f"{field} is compared with a number", _example(field))
        if found > LARGEST:
            self._refuse(at, "this number is too large")
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, float) and field not in SPANS:
            self._refuse(at, f"{field} is a whole number")
        return -found if negative else found

    def _quantity(self, field: str, text: str, at: ast.expr) -> int | float:
        # they come with the models of the configuration, which take a while to load
        from pydantic_core import PydanticCustomError

        from reviver.config.values import Duration, Size

        try:
            if field in SIZES:
                return int(Size.read(text))
            milliseconds = int(Duration.read(text))
        except PydanticCustomError as error:
            context = error.context or {}
            self._refuse(at, str(context.get("sentence")), context.get("hint"))
        return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000

    def _check_pattern(self, pattern: str, at: ast.expr) -> None:
        from pydantic import TypeAdapter, ValidationError

        from reviver.config.models.text import Regex

        if any(ord(c) < 32 for c in pattern):
            self._refuse(at, "this pattern has a control character", 'write patterns with backslashes as r"..."')
        try:
            TypeAdapter(Regex).validate_python(pattern)
        except ValidationError as error:
            found = error.errors()[0]
            context = found.get("ctx", {})
            self._refuse(at, str(context.get("sentence", found["msg"])), context.get("hint"))

    # ---- errors

    def _refuse_word(self, at: ast.Name) -> NoReturn:
        """A name where a value should be."""
        if at.id in FIELDS:
            self._refuse(at, f"{at.id} is compared with a value, not with another field")
        self._refuse(at, f"there is no {_quoted(at.id)}", f'a text is written in quotes: "{at.id}"')

    def _refuse(
        self, at: ast.expr, sentence: str, hint: str | None = None, *, until: ast.expr | None = None, last: int = 0
    ) -> NoReturn:
        """Marks `at`, as far as `until`; or only its `last` characters."""
        start = self._position(at.lineno, at.col_offset)
        until = until or at
        end = self._position(until.end_lineno or until.lineno, until.end_col_offset or until.col_offset)
        self._refuse_at(end - last if last else start, end, sentence, hint)

    def _refuse_syntax(self, error: SyntaxError) -> NoReturn:
        last = len(self._read) - 1
        line = error.lineno or 1
        if line >= len(self._starts) or not error.offset:
            self._refuse_at(last, last + 1, "the expression ends too early")
        start = min(self._starts[line - 1] + error.offset - 1, last)
        end = self._starts[line - 1] + error.end_offset - 1 if error.end_lineno == line and error.end_offset else 0
        sentence = error.msg[:1].lower() + error.msg[1:]
        hint = None
        sign = self._read[start]
        if sign == "=" or "'=='" in sentence:
            sentence, hint = "nothing can be assigned here", "did you mean ==?"
        elif sign in "&|!":
            start -= self._read[:start].endswith(sign)
            hint = "write and, or, not"
        self._refuse_at(start, max(end, start + 1), sentence, hint)

    def _refuse_at(self, start: int, end: int, sentence: str, hint: str | None = None) -> NoReturn:
        raise ExpressionError(self._text, sentence, self._indent + start, self._indent + end, hint) from None

    def _position(self, line: int, offset: int) -> int:
        """Of a place of the syntax tree, in characters of what was read."""
        start = self._starts[line - 1]
        written = self._read[start : self._starts[line] - 1].encode("utf-8", "surrogatepass")
        return start + len(written[:offset].decode("utf-8", "ignore"))


def _quoted(text: str) -> str:
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"


def _near(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"


def _example(field: str) -> str:
    """A condition about the field, as a hint."""
    if field in LISTS:
        return f'write "x" in {field}'
    if field in SPANS:
        return f'write {field} > 60 or {field} > "1m"'
    if field in SIZES:
        return f'write {field} > 1000 or {field} > "1KiB"'
    if field in NUMBERS:
        return f"write {field} == {404 if field == 'status' else 1}"
    return f'write {field} == "..."'
