from dataclasses import replace

import pytest

from reviver.errors import ConfigurationError, Diagnostic, OperationError, ReviverError

FULL = Diagnostic("r.yaml", 3, 7, "reverse.routes[0].pool", "there is no pool apii", "did you mean api?")


@pytest.mark.parametrize(
    ("diagnostic", "text"),
    [
        (FULL, "r.yaml:3:7: reverse.routes[0].pool: there is no pool apii (did you mean api?)"),
        (replace(FULL, hint=None), "r.yaml:3:7: reverse.routes[0].pool: there is no pool apii"),
        (replace(FULL, column=0, path=""), "r.yaml:3: there is no pool apii (did you mean api?)"),
        (
            replace(FULL, file="command line", line=0, hint=None),
            "command line: reverse.routes[0].pool: there is no pool apii",
        ),
        (
            replace(FULL, severity="warning", hint=None),
            "r.yaml:3:7: warning: reverse.routes[0].pool: there is no pool apii",
        ),
    ],
)
def test_a_diagnostic_prints_what_is_known_of_its_place(diagnostic: Diagnostic, text: str) -> None:
    assert str(diagnostic) == text


def test_a_configuration_error_prints_all_diagnostics_one_a_line() -> None:
    error = ConfigurationError(iter([FULL, replace(FULL, line=4)]))
    assert len(error.diagnostics) == 2
    assert [line.split(":")[1] for line in str(error).splitlines()] == ["3", "4"]


def test_one_root_catches_everything() -> None:
    assert issubclass(ConfigurationError, ReviverError)
    assert issubclass(OperationError, ReviverError)


def test_a_diagnostic_as_a_dictionary_has_the_documented_keys() -> None:
    assert set(FULL.as_dict()) == {"file", "line", "column", "path", "sentence", "hint", "severity"}
