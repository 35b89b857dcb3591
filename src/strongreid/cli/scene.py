"""The verb about whole frames: scene."""

from __future__ import annotations

from strongreid.cli.parser import Parser, parse


def scene(arguments: list[str]) -> int:
    """Generate films of people who walk past cameras, with boxes and identities."""
    parser = Parser(
        prog="strongreid scene",
        allow_abbrev=False,
        description="Generate films of walking people with boxes and identities, in the layout of MOT Challenge.",
    )
    from strongreid.synthetic.mot import write_scene
    from strongreid.synthetic.street import SceneSettings

    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("output", help="folder to write; one folder per camera in it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_class_arguments(SceneSettings)
    parsed = parse(parser, arguments)
    settings = SceneSettings(**{name: parsed[name] for name in SceneSettings.__dataclass_fields__})
    manifest = write_scene(parsed.output, settings, progress=not parsed.quiet)
    for film in manifest["sequences"]:
        counts = f"{settings.frames} frames, {film['boxes']} boxes, {film['detections']} detections"
        print(f"{parsed.output}/{film['name']}: {counts}")
    return 0
