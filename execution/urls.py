"""Paths of /api/execute (included under /api/ and /api/v1/ by codecrafter/urls.py)."""

from __future__ import annotations

from django.urls import path

from execution import api

api_urlpatterns = [
    path("execute", api.Execute.as_view(), name="execute"),
    path("execute/languages", api.LanguageList.as_view(), name="languages"),
    path("execute/status/<uuid:job_id>", api.RunStatus.as_view(), name="run-status"),
    path("execute/history/<uuid:session_id>", api.RunHistory.as_view(), name="run-history"),
    path("execute/<uuid:job_id>/output", api.RunOutputPiece.as_view(), name="run-output"),
    path("execute/<uuid:job_id>/cancel", api.RunCancel.as_view(), name="run-cancel"),
    path("execute/<uuid:job_id>/input", api.RunInput.as_view(), name="run-input"),
]
