"""/api/auth: parse, call the action, render."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import access, actions, mail, tokens
from accounts.bearer import ACCOUNT
from accounts.errors import (
    CodeRefused,
    CodeRequired,
    CredentialsRefused,
    EmailTaken,
    EmailUnverified,
    PasswordRefused,
    ReauthenticationNeeded,
    TokenRefused,
    TooMany,
    UsernameTaken,
)
from accounts.reauthentication import require_password
from accounts.serializers import (
    BotInput,
    BotSerializer,
    LoginInput,
    MadeTokenSerializer,
    PersonalTokenSerializer,
    ProfileInput,
    RefreshInput,
    RegisteredSerializer,
    RegisterInput,
    SignedInSerializer,
    TokenInput,
    TokenPairSerializer,
    UserSerializer,
)
from web.conditional import check_if_match, etag, personal, unchanged
from web.paging import refuse_unknown_parameters
from web.parsers import valid
from web.problems import NotFound
from web.schema import ETAG, IF_MATCH, IF_NONE_MATCH, UNCHANGED, refusals
from web.throttles import RegisterThrottle

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

    from accounts.access import SignedInRequest
    from accounts.models import User


def signed_in(user: User, pair: tokens.TokenPair) -> dict[str, Any]:
    return {"user": UserSerializer(user).data, **asdict(pair)}


class EntranceView(APIView):
    """Base of views for signed-out callers. Without authenticators: a stale token must not block its replacement."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == status.HTTP_401_UNAUTHORIZED:
            response["WWW-Authenticate"] = 'Bearer realm="api"'
        return response


class Register(EntranceView):
    throttle_classes = [RegisterThrottle]

    @extend_schema(
        operation_id="auth_register",
        request=RegisterInput,
        responses={
            201: RegisteredSerializer,
            **refusals(UsernameTaken, EmailTaken),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = valid(RegisterInput(data=request.data))
        user = actions.register(**data)
        mail.send_confirmation(request._request, user, is_new=True)
        if mail.must_be_confirmed(user):
            body = {"user": UserSerializer(user).data, "access": None, "refresh": None}
        else:
            body = signed_in(user, tokens.issue(user))
        return Response(body, status=status.HTTP_201_CREATED)


class Login(EntranceView):
    @extend_schema(
        operation_id="auth_login",
        request=LoginInput,
        responses={
            200: SignedInSerializer,
            **refusals(CredentialsRefused, CodeRequired, CodeRefused, EmailUnverified),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = valid(LoginInput(data=request.data))
        name = data.get("username") or data["email"]
        return Response(signed_in(*actions.sign_in(request._request, name, data["password"], data.get("code", ""))))


class Refresh(EntranceView):
    @extend_schema(
        operation_id="auth_refresh",
        request=RefreshInput,
        responses={200: TokenPairSerializer, **refusals(TokenRefused)},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Exchange the token for a new pair. Using a token twice ends its whole family."""
        return Response(asdict(actions.rotate_refresh(valid(RefreshInput(data=request.data))["refresh"])))


class Logout(EntranceView):
    @extend_schema(
        operation_id="auth_logout", request=RefreshInput, responses={204: None, **refusals(TokenRefused)}, auth=[]
    )
    def post(self, request: Request) -> Response:
        """End the sign-in that the refresh token belongs to. Access tokens already issued expire within 15 minutes."""
        actions.sign_out(valid(RefreshInput(data=request.data))["refresh"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class SignOutEverywhere(APIView):
    token_scope = ACCOUNT

    @extend_schema(operation_id="auth_sign_out_everywhere", request=None, responses={204: None})
    def post(self, request: SignedInRequest) -> Response:
        """End all your cookie sessions, access tokens and refresh tokens, including this one. Personal tokens stay."""
        actions.end_sign_ins(request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Tokens(APIView):
    """Your personal tokens and those of your bots."""

    token_scope = ACCOUNT
    token_scopes = {"GET": ACCOUNT}

    @extend_schema(operation_id="auth_tokens_list", responses=PersonalTokenSerializer(many=True))
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        return Response(PersonalTokenSerializer(access.own_tokens(request.user), many=True).data)

    @extend_schema(
        operation_id="auth_tokens_create",
        request=TokenInput,
        responses={201: MadeTokenSerializer, **refusals(NotFound, TooMany, ReauthenticationNeeded, PasswordRefused)},
    )
    def post(self, request: SignedInRequest) -> Response:
        data = valid(TokenInput(data=request.data))
        require_password(request, data.pop("current_password", ""))
        bot = data.pop("bot", None)
        holder = access.own_bot_named(request.user, bot) if bot is not None else request.user
        token, text = actions.make_token(holder, **data)
        body = {"token": text, "details": PersonalTokenSerializer(token).data}
        return Response(body, status=status.HTTP_201_CREATED)


class Token(APIView):
    token_scope = ACCOUNT

    @extend_schema(operation_id="auth_tokens_revoke", request=None, responses={204: None})
    def delete(self, request: SignedInRequest, token_id: UUID) -> Response:
        actions.revoke_token(access.own_token(request.user, token_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Bots(APIView):
    """Your bots. Add one to a session by its name, like any user."""

    token_scope = ACCOUNT
    token_scopes = {"GET": ACCOUNT}

    @extend_schema(operation_id="auth_bots_list", responses=BotSerializer(many=True))
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        return Response(BotSerializer(access.own_bots(request.user), many=True).data)

    @extend_schema(
        operation_id="auth_bots_create",
        request=BotInput,
        responses={201: BotSerializer, **refusals(UsernameTaken, TooMany)},
    )
    def post(self, request: SignedInRequest) -> Response:
        bot = actions.make_bot(request.user, valid(BotInput(data=request.data))["username"])
        return Response(BotSerializer(bot).data, status=status.HTTP_201_CREATED)


class Bot(APIView):
    token_scope = ACCOUNT

    @extend_schema(operation_id="auth_bots_retire", request=None, responses={204: None})
    def delete(self, request: SignedInRequest, bot_id: UUID) -> Response:
        actions.retire_bot(access.own_bot(request.user, bot_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Profile(APIView):
    token_scope = ACCOUNT

    @extend_schema(
        operation_id="auth_profile_read",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: UserSerializer, 304: UNCHANGED},
    )
    def get(self, request: Request) -> Response:
        user = cast("User", request.user)
        return unchanged(request, personal(etag(user.version), user)) or self._shown(user)

    @extend_schema(
        operation_id="auth_profile_replace",
        request=ProfileInput,
        responses={
            200: UserSerializer,
            **refusals(UsernameTaken, EmailTaken, ReauthenticationNeeded, PasswordRefused),
        },
        parameters=[IF_MATCH, ETAG],
    )
    def put(self, request: SignedInRequest) -> Response:
        return self._change(request, ProfileInput(data=request.data))

    @extend_schema(
        operation_id="auth_profile_change",
        request=ProfileInput(partial=True),
        responses={
            200: UserSerializer,
            **refusals(UsernameTaken, EmailTaken, ReauthenticationNeeded, PasswordRefused),
        },
        parameters=[IF_MATCH, ETAG],
    )
    def patch(self, request: SignedInRequest) -> Response:
        return self._change(request, ProfileInput(data=request.data, partial=True))

    def _change(self, request: SignedInRequest, serializer: ProfileInput) -> Response:
        data = valid(serializer)
        password = data.pop("current_password", "")
        if data.get("email", request.user.email) != request.user.email:
            require_password(request, password)
        return self._shown(
            actions.change_profile(
                request._request,
                request.user,
                **data,
                check_version=lambda version: check_if_match(request, version),
            )
        )

    def _shown(self, user: User) -> Response:
        return Response(UserSerializer(user).data, headers={"ETag": personal(etag(user.version), user)})
