"""The project: wiring that nobody imports, and codecrafter.http, what every REST edge shares."""
