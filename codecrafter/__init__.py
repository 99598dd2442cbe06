"""The wiring of the project, imported by no other package."""
