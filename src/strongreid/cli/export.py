"""The verb export."""

from __future__ import annotations

from strongreid.cli.parser import Parser, parse


def export(arguments: list[str]) -> int:
    """Write a model for ONNX Runtime or OpenVINO, compared with torch."""
    parser = Parser(
        prog="strongreid export",
        allow_abbrev=False,
        description="Write a model for ONNX Runtime or OpenVINO, if it agrees with torch there.",
    )
    parser.add_argument("model", help="model folder, such as runs/x/best")
    parser.add_argument("output", help="folder to write; an export that is there is replaced")
    parser.add_argument("--format", default="onnx", choices=["onnx", "openvino"], help="for which runtime")
    parser.add_argument("--feature", choices=["f_i", "f_t"], help="default: the one of training")
    parsed = parse(parser, arguments)

    from strongreid.export.export import export_model

    agreement = export_model(parsed.model, parsed.output, format=parsed.format, feature=parsed.feature)
    print(f"{parsed.output}: {agreement.text()}")
    return 0
