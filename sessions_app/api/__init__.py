"""/api/sessions by resource. Each view parses, checks access, calls an action and renders."""
