"""Shared by the pages and the REST API of every app. Imports no app."""
