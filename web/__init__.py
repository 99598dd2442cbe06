"""What the pages and the REST API of every app share. Imports no app."""
