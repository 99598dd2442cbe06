"""Paths of the session pages and of /api/sessions (included under /api/ and /api/v1/ by codecrafter/urls.py)."""

from __future__ import annotations

from django.urls import path

from sessions_app import views
from sessions_app.api import archives, chat, files, history, invites, people, reports, sessions

app_name = "sessions_app"
urlpatterns = [
    path("sessions", views.session_list, name="session-list"),
    path("sessions/new", views.session_create, name="session-create"),
    path("sessions/<uuid:session_id>", views.session_detail, name="session-detail"),
    path("sessions/import", views.session_import, name="session-import"),
    path("sessions/<uuid:session_id>/guest", views.session_guest, name="session-guest"),
    path("sessions/<uuid:session_id>/fork", views.session_fork, name="session-fork"),
    path("explore", views.explore, name="explore"),
    path("sessions/<uuid:session_id>/restore", views.session_restore, name="session-restore"),
    path("sessions/<uuid:session_id>/delete", views.session_delete, name="session-delete"),
    path("sessions/<uuid:session_id>/report", views.session_report, name="session-report"),
    path("join/<str:token>", views.session_join, name="session-join"),
]

api_urlpatterns = [
    path("sessions", sessions.SessionList.as_view(), name="sessions"),
    path("sessions/public", sessions.PublicSessionList.as_view(), name="sessions-public"),
    path("sessions/import", archives.SessionImport.as_view(), name="session-import"),
    path("templates", sessions.TemplateList.as_view(), name="templates"),
    path("sessions/<uuid:session_id>", sessions.SessionDetail.as_view(), name="session"),
    path("sessions/<uuid:session_id>/join", people.SessionJoin.as_view(), name="session-join"),
    path("sessions/<uuid:session_id>/leave", people.SessionLeave.as_view(), name="session-leave"),
    path("sessions/<uuid:session_id>/fork", sessions.SessionFork.as_view(), name="session-fork"),
    path("sessions/<uuid:session_id>/transfer", people.SessionTransfer.as_view(), name="session-transfer"),
    path("sessions/<uuid:session_id>/export.zip", archives.SessionExport.as_view(), name="session-export"),
    path("sessions/<uuid:session_id>/restore", sessions.SessionRestore.as_view(), name="session-restore"),
    path("sessions/<uuid:session_id>/report", reports.SessionReport.as_view(), name="session-report"),
    path("sessions/<uuid:session_id>/ticket", people.SessionTicket.as_view(), name="session-ticket"),
    path("sessions/<uuid:session_id>/collaborators", people.CollaboratorList.as_view(), name="collaborators"),
    path(
        "sessions/<uuid:session_id>/collaborators/<uuid:user_id>",
        people.CollaboratorDetail.as_view(),
        name="collaborator",
    ),
    path("sessions/<uuid:session_id>/files", files.FileList.as_view(), name="files"),
    path("sessions/<uuid:session_id>/files/deleted", files.DeletedFileList.as_view(), name="deleted-files"),
    path(
        "sessions/<uuid:session_id>/files/deleted/<str:file_id>", files.DeletedFileDetail.as_view(), name="deleted-file"
    ),
    path(
        "sessions/<uuid:session_id>/files/deleted/<str:file_id>/restore",
        files.DeletedFileRestore.as_view(),
        name="deleted-file-restore",
    ),
    path("sessions/<uuid:session_id>/files/<str:file_id>", files.FileDetail.as_view(), name="file"),
    path("sessions/<uuid:session_id>/guest-name", people.GuestName.as_view(), name="guest-name"),
    path("sessions/<uuid:session_id>/guests", people.GuestList.as_view(), name="guests"),
    path("sessions/<uuid:session_id>/guests/<uuid:user_id>", people.GuestDetail.as_view(), name="guest"),
    path("sessions/<uuid:session_id>/chat", chat.ChatList.as_view(), name="chat"),
    path("sessions/<uuid:session_id>/history", history.HistoryList.as_view(), name="history"),
    path("sessions/<uuid:session_id>/history/<int:revision>", history.PastText.as_view(), name="past-text"),
    path(
        "sessions/<uuid:session_id>/history/<int:revision>/restore", history.PastRestore.as_view(), name="past-restore"
    ),
    path("sessions/<uuid:session_id>/invites", invites.InviteList.as_view(), name="invites"),
    path("sessions/<uuid:session_id>/invites/<uuid:invite_id>", invites.InviteDetail.as_view(), name="invite"),
    path(
        "sessions/<uuid:session_id>/invites/<uuid:invite_id>/rotate",
        invites.InviteRotate.as_view(),
        name="invite-rotate",
    ),
]
