"""The pages of sessions: dashboard, editor, invites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.db.models import Q
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_http_methods, require_POST

import languages
from accounts.errors import GuestNameRefused
from accounts.guests import is_guest, open_to_guests, sign_guest_in
from languages.templates import HELLO, template_of, templates_of
from sessions_app import actions, invites, moderation
from sessions_app.access import Access, Action, access_to, access_to_archived, permission_of, shown_permission
from sessions_app.description import describe
from sessions_app.document import contents
from sessions_app.errors import (
    AlreadyReported,
    ArchiveRefused,
    ArchiveTooLarge,
    GuestsNotAllowed,
    InviteNotFound,
    NotAllowed,
    SessionNotFound,
    TooManyGuests,
)
from sessions_app.forms import ReportForm
from sessions_app.limits import TITLE_MAX_CHARACTERS
from sessions_app.models import CodeSession, Permission
from web.client import counted_address
from web.lines import one_line
from web.problems import Invalid
from web.throttles import RateLimited, count_or_refuse

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from accounts.access import SignedInPageRequest
    from accounts.models import User

PER_PAGE = 30
FILTERS = ("all", "mine", "shared", "archived")


def home(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("sessions_app:session-list")
    response = render(request, "home.html")
    # Nobody's, so a browser may keep it for the way back.
    response["Cache-Control"] = "no-cache"
    return response


@require_GET
@login_required
def session_list(request: SignedInPageRequest) -> HttpResponse:
    shown = request.GET.get("filter", "all")
    query = request.GET.get("q", "").replace("\0", "").strip()[:TITLE_MAX_CHARACTERS]
    page = Paginator(_listed(request.user, shown if shown in FILTERS else "all", query), PER_PAGE).get_page(
        request.GET.get("page")
    )
    for session in page:
        _describe(session, request.user)
    return render(
        request,
        "sessions_app/session_list.html",
        {"sessions": page, "languages": _choices(), "filter": shown, "filters": FILTERS, "q": query},
    )


def _listed(user: User, shown: str, query: str) -> Any:
    if shown == "archived":
        sessions = CodeSession.objects.archived().filter(owner=user)
    else:
        sessions = CodeSession.objects.active().with_member(user.pk)
        if shown == "mine":
            sessions = sessions.filter(owner=user)
        elif shown == "shared":
            sessions = sessions.exclude(owner=user)
    if query:
        sessions = sessions.filter(Q(title__icontains=query))
    return sessions.select_related("owner").prefetch_related("collaborators__user")


def _describe(session: Any, user: User) -> None:
    """Set what a row of the dashboard shows, from what was loaded with the page."""
    collaborators = list(session.collaborators.all())
    given = {collaborator.user_id: collaborator.permission for collaborator in collaborators}
    known = languages.LANGUAGES.get(session.language)
    session.language_name = known.name if known else session.language
    session.people = [session.owner, *(collaborator.user for collaborator in collaborators)]
    session.owner_username = session.owner.username
    session.permission = shown_permission(session, permission_of(session, user.pk, given.get(user.pk)))


def _choices() -> list[dict[str, Any]]:
    return [
        {"key": row.key, "name": row.name, "templates": " ".join(template.key for template in templates_of(row))}
        for row in languages.LANGUAGES.values()
    ]


@require_GET
@login_required
def explore(request: SignedInPageRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "").strip()[:TITLE_MAX_CHARACTERS]
    language = request.GET.get("language", "")
    sessions = CodeSession.objects.recommended().matching(query)
    if language in languages.LANGUAGES:
        sessions = sessions.filter(language=language)
    page = Paginator(sessions.select_related("owner"), PER_PAGE).get_page(request.GET.get("page"))
    for session in page:
        known = languages.LANGUAGES.get(session.language)
        session.language_name = known.name if known else session.language  # type: ignore[attr-defined]
    context = {"sessions": page, "languages": _choices(), "language": language, "q": query}
    return render(request, "sessions_app/explore.html", context)


@require_POST
@login_required
def session_create(request: SignedInPageRequest) -> HttpResponse:
    try:
        language = languages.get(request.POST.get("language", ""))
    except KeyError:
        messages.error(request, "Unknown language. Choose one from the list.")
        return redirect("sessions_app:session-list")
    title = one_line(request.POST.get("title", "").replace("\0", ""))
    if len(title) > TITLE_MAX_CHARACTERS:
        raise Invalid(f"A title can have at most {TITLE_MAX_CHARACTERS} characters.")
    try:
        content = template_of(language, request.POST.get("template") or HELLO).content
    except KeyError:
        messages.error(request, f"{language.name} has no such template. Choose another.")
        return redirect("sessions_app:session-list")
    session = actions.create_session(request.user, language=language, title=title, content=content)
    return redirect("sessions_app:session-detail", session.pk)


@require_POST
@login_required
def session_import(request: SignedInPageRequest) -> HttpResponse:
    archive = request.FILES.get("archive")
    if archive is None:
        messages.error(request, "Choose a zip archive first.")
        return redirect("sessions_app:session-list")
    title = one_line((archive.name or "").removesuffix(".zip").replace("\0", ""))[:TITLE_MAX_CHARACTERS]
    language = languages.LANGUAGES.get(request.POST.get("language", ""))
    try:
        session = actions.import_session(request.user, archive, title=title, language=language)
    except (ArchiveRefused, ArchiveTooLarge) as refused:
        messages.error(request, f"Nothing was imported. {refused.detail}")
        return redirect("sessions_app:session-list")
    return redirect("sessions_app:session-detail", session.pk)


@require_POST
@login_required
def session_fork(request: SignedInPageRequest, session_id: UUID) -> HttpResponse:
    session = actions.fork_session(access_to(request.user, session_id, Action.FORK), request.user)
    return redirect("sessions_app:session-detail", session.pk)


@open_to_guests
@require_GET
@ensure_csrf_cookie
def session_detail(request: SignedInPageRequest, session_id: UUID) -> HttpResponse:
    try:
        access = access_to(request.user, session_id)
    except SessionNotFound:
        if not _is_nobody(request):
            raise
        if CodeSession.objects.public().filter(pk=session_id, allows_guests=True).exists():
            return redirect("sessions_app:session-guest", session_id)
        return redirect_to_login(request.get_full_path())
    context = {
        "session": access.session,
        "page": _page_data(request, access),
        "session_text": contents.entry_text(access.session),
        "may_fork": access.may(Action.FORK),
        "measure": moderation.restriction_on(access.session),
        "origin": _origin(request.user, access.session),
    }
    return render(request, "sessions_app/session_detail.html", context)


def _origin(user: User, session: CodeSession) -> CodeSession | None:
    """Return the session that this one was forked from, if the user may see it."""
    if session.forked_from_id is None:
        return None
    try:
        return access_to(user, session.forked_from_id).session
    except SessionNotFound:
        return None


def _page_data(request: SignedInPageRequest, access: Access) -> dict[str, Any]:
    """Return the initial data of the editor page's script (frontend/src/main.ts)."""
    return {
        "session": describe(access.session, access.shown_permission) | {"may_chat": access.may(Action.CHAT)},
        "user": {
            "id": str(request.user.pk),
            "username": request.user.username,
            "hue": request.user.hue,
            "is_guest": request.user.is_guest,
        },
        "editor_settings": request.user.preferences.get("editor_settings", {}),
        "languages": [
            {"key": language.key, "name": language.name, "file_name": language.file_name}
            for language in languages.LANGUAGES.values()
        ],
        "document": {"epoch": str(access.session.document.epoch)},
    }


@require_POST
@login_required
def session_restore(request: SignedInPageRequest, session_id: UUID) -> HttpResponse:
    try:
        actions.restore_session(access_to_archived(request.user, session_id), request.user)
    except NotAllowed as error:
        messages.error(request, error.detail)
        return redirect("/sessions?filter=archived")
    return redirect("sessions_app:session-detail", session_id)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def session_delete(request: SignedInPageRequest, session_id: UUID) -> HttpResponse:
    access = access_to_archived(request.user, session_id)
    if request.method != "POST":
        return render(request, "sessions_app/session_delete.html", {"session": access.session})
    actions.delete_session(access, request.user)
    messages.success(request, f"“{access.session.title}” is deleted.")
    return redirect("/sessions?filter=archived")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def session_report(request: SignedInPageRequest, session_id: UUID) -> HttpResponse:
    access = access_to(request.user, session_id)
    form = ReportForm(request.POST or None)
    code = 200
    if request.method == "POST" and form.is_valid():
        try:
            moderation.report_session(access, request.user, form.cleaned_data["reason"])
            messages.success(request, "Thank you for your report. The moderators will look at it.")
            return redirect("sessions_app:session-list")
        except (AlreadyReported, RateLimited) as refused:
            form.add_error(None, refused.detail)
            code = refused.status
    context = {"session": access.session, "form": form}
    return render(request, "sessions_app/session_report.html", context, status=code)


@open_to_guests
@require_http_methods(["GET", "HEAD", "POST"])
def session_join(request: SignedInPageRequest, token: str) -> HttpResponse:
    if _is_nobody(request):
        return _join_as_guest(request, token)
    try:
        if request.method == "POST":
            session = invites.accept_invite(request.user, token)
            return redirect("sessions_app:session-detail", session.pk)
        invite = invites.find_invite(token)
    except InviteNotFound:
        return render(request, "sessions_app/session_join.html", {"invite_failed": True}, status=404)
    context = {
        "session_title": invite.session.title,
        "owner_username": invite.session.owner.username,
        "permission": invite.permission,
    }
    return render(request, "sessions_app/session_join.html", context)


def _is_nobody(request: HttpRequest) -> bool:
    """Whether to ask for a name or a sign-in: also for guests of other sessions, and guests whose pass has expired."""
    return not request.user.is_authenticated or is_guest(request.user)


def _join_as_guest(request: HttpRequest, token: str) -> HttpResponse:
    """Admit a guest through a link. To callers without an account, invalid links and those that need one look alike."""
    try:
        invite = invites.find_invite(token)
    except InviteNotFound:
        return redirect_to_login(request.get_full_path())
    if not invite.session.allows_guests:
        return redirect_to_login(request.get_full_path())
    return _guest_door(request, invite.session, invite.permission, token=token)


@open_to_guests
@require_http_methods(["GET", "HEAD", "POST"])
def session_guest(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Admit guests to a public session."""
    session = CodeSession.objects.public().select_related("owner").filter(pk=session_id, allows_guests=True).first()
    if session is None or not _is_nobody(request):
        return redirect("sessions_app:session-detail", session_id)
    return _guest_door(request, session, Permission.READ)


def _guest_door(request: HttpRequest, session: CodeSession, permission: str, *, token: str = "") -> HttpResponse:
    """Ask for a name, and admit the guest who gives one."""
    name = request.POST.get("name", "")
    context = {
        "session_title": session.title,
        "owner_username": session.owner.username,
        "permission": permission,
        "as_guest": True,
        "has_link": bool(token),
        "next": reverse("sessions_app:session-detail", args=[session.pk]) if not token else request.path,
        "name": name,
    }
    if request.method != "POST":
        return render(request, "sessions_app/session_join.html", context)
    try:
        count_or_refuse("guest", f"address:{counted_address(request)}")
        guest_pass = invites.come_as_guest(name, session.pk, token)
    except (InviteNotFound, SessionNotFound, GuestsNotAllowed):
        return redirect_to_login(request.get_full_path())
    except (GuestNameRefused, TooManyGuests, RateLimited) as refused:
        response = render(
            request, "sessions_app/session_join.html", context | {"problem": refused.detail}, status=refused.status
        )
        if wait := refused.extra.get("retry_after"):
            response["Retry-After"] = str(wait)
        return response
    sign_guest_in(request, guest_pass.user, guest_pass.expires_at)
    return redirect("sessions_app:session-detail", session.pk)
