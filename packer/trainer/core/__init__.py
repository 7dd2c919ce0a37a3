"""The parts of training that no framework changes. Frameworks implement the interface in `framework`."""
