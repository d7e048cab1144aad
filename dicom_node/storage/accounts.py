"""Users of the console, their sessions, one-time links and tokens; times and secrets come from the caller."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.errors import Refused
from dicom_node.storage import trail
from dicom_node.storage.rows import ApiTokenRow, LinkRow, SessionRow, UserRow
from dicom_node.users import ApiToken, Caller, ExternalUser, User, UserRole, digest

SEEN_EVERY = timedelta(minutes=1)
"""How often it is noted that a session or token is in use: not with each click."""

NOBODY = "unknown"
"""What the audit trail calls somebody who gave a name that no user has."""


class NameTaken(Refused):
    """Somebody else has this name here."""


Transaction = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Of a session: how long it may lie idle, and how long it may last in any case."""

    idle: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is compared with. `failures`: wrong ones in a row."""

    user: User
    password_hash: str | None
    failures: int


class Accounts:
    """Each method is one transaction; what may be raised is told in repository.py.

    `actor` is who changes users, for the audit trail; sign-ins are recorded under the name of who signs in.
    """

    def __init__(self, read: Transaction, write: Transaction, actor: str) -> None:
        self._read, self._write, self._actor = read, write, actor

    # Users

    def users(self) -> tuple[User, ...]:
        """By name."""
        with self._read() as session:
            return tuple(map(_user, session.scalars(select(UserRow).order_by(UserRow.name))))

    def any_admin(self) -> bool:
        """Whether somebody can sign in who may add users."""
        usable = (UserRow.role == UserRole.ADMIN, UserRow.active, UserRow.password_hash.is_not(None))
        with self._read() as session:
            return session.scalar(select(UserRow.id).where(*usable).limit(1)) is not None

    def add_user(self, name: str, role: UserRole, now: datetime) -> User:
        """Somebody new, without a password yet. Raises Refused: the name is taken."""
        try:
            with self._write() as session:
                row = UserRow(name=name, role=role, active=True, failures=0, created_at=now)
                session.add(row)
                self._note(session, "user.added", {"user": name, "role": role.value}, now)
                session.flush()
                return _user(row)
        except IntegrityError:
            raise Refused(f"There is a user {name} already.") from None

    def change_user(self, name: str, role: UserRole, active: bool, now: datetime) -> None:
        """Another role or none any more; sessions end where the user loses something.

        Raises:
            Refused: there is no such user, or nobody would be left who may administer the node.
        """
        with self._write() as session:
            row = _row(session, name)
            losing = row.active and row.role is UserRole.ADMIN and not (active and role is UserRole.ADMIN)
            if losing and row.password_hash is not None and _other_admins(session, row) == 0:
                raise Refused("Somebody has to be left who may administer the node.")
            row.role, row.active = role, active
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            facts = {"user": name, "role": role.value, "active": "yes" if active else "no"}
            self._note(session, "user.changed", facts, now)

    def set_password(self, name: str, password_hash: str, now: datetime, keep: str | None = None) -> None:
        """All sessions but `keep` (a secret), all links and the lock of the user end with it. Raises Refused."""
        with self._write() as session:
            row = _own_row(session, name)
            self._give_password(session, row, password_hash, now)
            others = delete(SessionRow).where(SessionRow.user_id == row.id)
            session.execute(others if keep is None else others.where(SessionRow.secret_sha256 != digest(keep)))

    def _give_password(self, session: Session, row: UserRow, password_hash: str, now: datetime) -> None:
        row.password_hash, row.failures, row.locked_until = password_hash, 0, None
        session.execute(delete(LinkRow).where(LinkRow.user_id == row.id))
        self._note(session, "user.password", {"user": row.name}, now)

    # Users of other services

    def external_user(self, who: ExternalUser, role: UserRole, now: datetime) -> User:
        """With the role that the service gives now. Sessions end where it is another one than before.

        Raises:
            NameTaken: somebody else is called so here.
        """
        with self._read() as session:
            row = _known(session, who)
            if row is not None and row.role is role:
                return _user(row)
        try:
            with self._write() as session:
                row = _known(session, who)
                if row is None:
                    row = UserRow(name=who.name, role=role, active=True, failures=0, created_at=now, external=who.key)
                    session.add(row)
                    self._note(session, "user.added", {"user": who.name, "role": role.value, "external": "yes"}, now)
                    session.flush()
                elif row.role is not role:
                    row.role = role
                    session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
                    self._note(session, "user.changed", {"user": row.name, "role": role.value, "external": "yes"}, now)
                return _user(row)
        except IntegrityError:
            raise NameTaken from None

    def external_lost(self, who: ExternalUser, now: datetime) -> str | None:
        """The service gives them no role any more: sessions and tokens end. Their name here; None: never seen."""
        with self._read() as session:
            if _known(session, who) is None:
                return None
        with self._write() as session:
            row = _known(session, who)
            if row is None:
                return None
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            ended = delete(ApiTokenRow).where(ApiTokenRow.user_id == row.id).returning(ApiTokenRow.label)
            for label in session.scalars(ended).all():
                self._note(session, "token.removed", {"user": row.name, "label": label}, now)
            return row.name

    # One-time links, with which people give themselves a password

    def add_link(self, name: str, secret: str, expires_at: datetime, now: datetime) -> None:
        """Replaces earlier links of the user. Raises Refused: there is no such user, or they have no password here."""
        with self._write() as session:
            row = _own_row(session, name)
            session.execute(delete(LinkRow).where(LinkRow.user_id == row.id))
            session.add(LinkRow(user_id=row.id, secret_sha256=digest(secret), expires_at=expires_at))
            self._note(session, "user.link", {"user": name}, now)

    def link_owner(self, secret: str, now: datetime) -> User | None:
        """Whose link it is; None: used, too old or never there."""
        with self._read() as session:
            row = _link(session, secret, now)
            return None if row is None else _user(row)

    def use_link(self, secret: str, password_hash: str, now: datetime) -> User | None:
        """Give the password and end the link, and all sessions; None as above."""
        with self._write() as session:
            row = _link(session, secret, now)
            wanted = delete(LinkRow).where(LinkRow.secret_sha256 == digest(secret)).returning(LinkRow.id)
            if row is None or session.scalar(wanted) is None:  # of two at the same moment only one finds it to delete
                return None
            self._give_password(session, row, password_hash, now)
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            return _user(row)

    # Signing in

    def credentials(self, name: str) -> Credentials | None:
        """None: there is no such user."""
        with self._read() as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name))
            return None if row is None else Credentials(_user(row), row.password_hash, row.failures)

    def sign_in_failed(self, name: str, host: str, locked_until: datetime | None, now: datetime) -> None:
        """One more in a row."""
        with self._write() as session:
            changed = {"failures": UserRow.failures + 1, "locked_until": locked_until}
            session.execute(update(UserRow).where(UserRow.name == name).values(changed))
            trail.record(session, AuditEntry(AuditEvent.USER_REFUSED, name, host, outcome="wrong password"), now)

    def sign_in_refused(self, name: str | None, host: str, why: str, now: datetime) -> None:
        """Written down, and nothing follows. `name` None: nobody is called so, and what was typed may be a password."""
        with self._write() as session:
            trail.record(session, AuditEntry(AuditEvent.USER_REFUSED, name or NOBODY, host, outcome=why), now)

    def open_session(self, name: str, secret: str, host: str, now: datetime) -> None:
        """Somebody is signed in from now on. Raises Refused: there is no such user."""
        with self._write() as session:
            row = _row(session, name)
            row.failures, row.locked_until = 0, None
            session.add(SessionRow(user_id=row.id, secret_sha256=digest(secret), opened_at=now, seen_at=now))
            trail.record(session, AuditEntry(AuditEvent.USER_SIGNED_IN, name, host), now)

    def signed_in(self, name: str, host: str, now: datetime) -> None:
        """Written down of somebody for whom no session is opened."""
        with self._write() as session:
            trail.record(session, AuditEntry(AuditEvent.USER_SIGNED_IN, name, host), now)

    def session_caller(self, secret: str, lifetime: Lifetime, now: datetime, *, noting: bool = True) -> Caller | None:
        """Whose session it is; None where there is none any more. `noting`: it is in use, and lasts on."""
        with self._read() as session:
            found = session.execute(
                select(SessionRow, UserRow).join(UserRow).where(SessionRow.secret_sha256 == digest(secret))
            ).first()
        if found is None:
            return None
        row, user = found
        if not user.active or now - row.seen_at > lifetime.idle or now - row.opened_at > lifetime.longest:
            return None
        if noting and now - row.seen_at > SEEN_EVERY:
            with self._write() as session:
                kept = session.get(SessionRow, row.id)
                if kept is not None:
                    kept.seen_at = now
        return Caller(user.name, user.role)

    def close_session(self, secret: str) -> None:
        """Signed out."""
        with self._write() as session:
            session.execute(delete(SessionRow).where(SessionRow.secret_sha256 == digest(secret)))

    def forget_sessions(self, lifetime: Lifetime, now: datetime) -> None:
        """Rows of sessions and links that are over."""
        with self._write() as session:
            idle, old = SessionRow.seen_at < now - lifetime.idle, SessionRow.opened_at < now - lifetime.longest
            session.execute(delete(SessionRow).where(idle | old))
            session.execute(delete(LinkRow).where(LinkRow.expires_at < now))

    # Tokens of programs

    def add_token(self, name: str, token: ApiToken, secret: str, now: datetime) -> ApiToken:
        """`token` with id 0, as it shall be. Raises Refused: there is no such user."""
        with self._write() as session:
            owner = _row(session, name)
            row = ApiTokenRow(
                user_id=owner.id,
                label=token.label,
                role=token.role,
                secret_sha256=digest(secret),
                created_at=now,
                expires_at=token.expires_at,
            )
            session.add(row)
            self._note(session, "token.added", {"user": name, "role": token.role.value, "label": token.label}, now)
            session.flush()
            return _token(row, name)

    def tokens(self) -> tuple[ApiToken, ...]:
        """Newest first."""
        with self._read() as session:
            found = session.execute(select(ApiTokenRow, UserRow.name).join(UserRow).order_by(ApiTokenRow.id.desc()))
            return tuple(_token(row, name) for row, name in found)

    def remove_token(self, token_id: int, owner: str | None, now: datetime) -> None:
        """Of `owner`, or None: of anybody. Raises Refused: there is none."""
        with self._write() as session:
            row = session.get(ApiTokenRow, token_id)
            user = None if row is None else session.get_one(UserRow, row.user_id)
            if row is None or user is None or owner not in (None, user.name):
                raise Refused("There is no such token.")
            session.delete(row)
            self._note(session, "token.removed", {"user": user.name, "label": row.label}, now)

    def token_caller(self, secret: str, now: datetime) -> Caller | None:
        """Whose token it is; None where it is none, too old, or its owner may not sign in."""
        with self._read() as session:
            found = session.execute(
                select(ApiTokenRow, UserRow).join(UserRow).where(ApiTokenRow.secret_sha256 == digest(secret))
            ).first()
        if found is None:
            return None
        row, user = found
        if not user.active or (row.expires_at is not None and row.expires_at <= now):
            return None
        if row.used_at is None or now - row.used_at > SEEN_EVERY:
            with self._write() as session:
                kept = session.get(ApiTokenRow, row.id)
                if kept is not None:
                    kept.used_at = now
        role = row.role if user.role.covers(row.role) else user.role
        return Caller(user.name, role, row.label)

    def _note(self, session: Session, outcome: str, facts: dict[str, str], now: datetime) -> None:
        trail.record(session, AuditEntry(AuditEvent.ADMIN_USER, self._actor, outcome=outcome, detail=dict(facts)), now)


def _row(session: Session, name: str) -> UserRow:
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None:
        raise Refused(f"There is no user {name}.")
    return row


def _own_row(session: Session, name: str) -> UserRow:
    """Of somebody who signs in by a password of this node."""
    row = _row(session, name)
    if row.external is not None:
        raise Refused(f"{name} is signed in by another service, and has no password here.")
    return row


def _known(session: Session, who: ExternalUser) -> UserRow | None:
    return session.scalar(select(UserRow).where(UserRow.external == who.key))


def _other_admins(session: Session, but: UserRow) -> int:
    wanted = (UserRow.role == UserRole.ADMIN, UserRow.active, UserRow.password_hash.is_not(None), UserRow.id != but.id)
    return session.scalar(select(func.count()).select_from(UserRow).where(*wanted)) or 0


def _link(session: Session, secret: str, now: datetime) -> UserRow | None:
    query = select(UserRow).join(LinkRow).where(LinkRow.secret_sha256 == digest(secret), LinkRow.expires_at > now)
    row = session.scalar(query)
    return row if row is not None and row.active else None


def _user(row: UserRow) -> User:
    has_password, external = row.password_hash is not None, row.external is not None
    return User(row.id, row.name, row.role, row.active, has_password, row.locked_until, external)


def _token(row: ApiTokenRow, owner: str) -> ApiToken:
    return ApiToken(row.id, owner, row.label, row.role, row.created_at, row.used_at, row.expires_at)
