"""/api/auth: parse, call the action, render."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import actions, tokens
from accounts.lockout import count_sign_in
from accounts.serializers import (
    LoginInput,
    ProfileInput,
    RefreshInput,
    RegisterInput,
    SignedInSerializer,
    TokenPairSerializer,
    UserSerializer,
)
from codecrafter.http.conditional import check_if_match, etag
from codecrafter.http.throttles import RegisterThrottle

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.serializers import BaseSerializer

    from accounts.models import User

IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The ETag of the state you read.")
REFUSED = OpenApiResponse(description="problem+json: `invalid_credentials` or `token_not_valid`.")
WRONG = OpenApiResponse(description="problem+json: `invalid`, with `errors` by field.")
TOO_MANY = OpenApiResponse(description="problem+json: `rate_limited`, with Retry-After.")


def valid(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def signed_in(user: User, pair: tokens.TokenPair) -> dict[str, Any]:
    return {"user": UserSerializer(user).data, **asdict(pair)}


class EntranceView(APIView):
    """For those who are not signed in yet. No authenticators: a stale token must not refuse its own replacement."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        if response.status_code == status.HTTP_401_UNAUTHORIZED:
            response["WWW-Authenticate"] = 'Bearer realm="api"'
        return response


class Register(EntranceView):
    throttle_classes = [RegisterThrottle]

    @extend_schema(
        operation_id="auth_register",
        request=RegisterInput,
        responses={
            201: SignedInSerializer,
            400: OpenApiResponse(description="problem+json: `invalid`, `username_taken` or `email_taken`."),
            429: TOO_MANY,
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = valid(RegisterInput(data=request.data))
        user = actions.register(**data)
        return Response(signed_in(user, tokens.issue(user)), status=status.HTTP_201_CREATED)


class Login(EntranceView):
    @extend_schema(
        operation_id="auth_login",
        request=LoginInput,
        responses={200: SignedInSerializer, 400: WRONG, 401: REFUSED, 429: TOO_MANY},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = valid(LoginInput(data=request.data))
        name = data.get("username") or data["email"]
        count_sign_in(name, request)
        return Response(signed_in(*actions.sign_in(name, data["password"])))


class Refresh(EntranceView):
    @extend_schema(
        operation_id="auth_refresh",
        request=RefreshInput,
        responses={200: TokenPairSerializer, 400: WRONG, 401: REFUSED},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Spends the token and gives the next pair. A token that comes twice ends its whole family."""
        return Response(asdict(actions.rotate_refresh(valid(RefreshInput(data=request.data))["refresh"])))


class Logout(EntranceView):
    @extend_schema(
        operation_id="auth_logout", request=RefreshInput, responses={204: None, 400: WRONG, 401: REFUSED}, auth=[]
    )
    def post(self, request: Request) -> Response:
        """Ends the sign-in that the refresh token belongs to. Access tokens that are out end within 15 minutes."""
        actions.sign_out(valid(RefreshInput(data=request.data))["refresh"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class Profile(APIView):
    @extend_schema(operation_id="auth_profile_read", responses=UserSerializer)
    def get(self, request: Request) -> Response:
        return self._shown(cast("User", request.user))

    @extend_schema(
        operation_id="auth_profile_replace",
        request=ProfileInput,
        responses={200: UserSerializer, 400: WRONG},
        parameters=[IF_MATCH],
    )
    def put(self, request: Request) -> Response:
        return self._change(request, ProfileInput(data=request.data))

    @extend_schema(
        operation_id="auth_profile_change",
        request=ProfileInput(partial=True),
        responses={200: UserSerializer, 400: WRONG},
        parameters=[IF_MATCH],
    )
    def patch(self, request: Request) -> Response:
        return self._change(request, ProfileInput(data=request.data, partial=True))

    def _change(self, request: Request, serializer: ProfileInput) -> Response:
        data = valid(serializer)
        user = cast("User", request.user)
        return self._shown(
            actions.change_profile(user, **data, check_version=lambda version: check_if_match(request, version))
        )

    def _shown(self, user: User) -> Response:
        return Response(UserSerializer(user).data, headers={"ETag": etag(user.version)})
