"""/api/sessions by resource. Each view does four things: parse, ask access, call the action, render."""
