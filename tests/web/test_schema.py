"""The API against its own description, with what schemathesis makes of it."""

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import checks  # noqa: E402
from tests.web.made import CAMERAS, Histogram, table  # noqa: E402

from strongreid.gallery import Gallery  # noqa: E402
from strongreid.web import create_app  # noqa: E402

HEADERS = {"host": "127.0.0.1:8000"}
# Not that all is accepted that the schema allows: a label that the gallery lacks can't be in a schema.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def api(in_memory_folder, calibrated):
    with Gallery(in_memory_folder / "schema.gallery", calibration=calibrated) as gallery:
        gallery.add(table(range(1, 4), cameras=CAMERAS))
        app = create_app(gallery, Histogram())
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS)


def test_answers_are_as_described(api):
    operations = [operation.ok() for operation in api.get_all_operations()]
    assert len(operations) >= 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=20,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answers_are_as_described(case):
            case.call_and_validate(headers=HEADERS, checks=CHECKS)

        answers_are_as_described()
