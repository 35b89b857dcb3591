"""Models as files that ONNX Runtime or OpenVINO run: made once with torch, used without it."""
