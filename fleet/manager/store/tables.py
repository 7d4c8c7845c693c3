"""The store's tables as the newest migration leaves them."""

import sqlalchemy as sa

_META = sa.MetaData()
CONFERENCE = sa.Table(
    "conference",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
    sa.Column("name", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("text", sa.Text),
)
REVISION = sa.Table(
    "revision",
    _META,
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
    sa.Column("message", sa.Text),
    sa.Column("conference", sa.Integer),
    sa.Column("config", sa.Text),
)
STATION = sa.Table(
    "station",
    _META,
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("wanted", sa.BigInteger),
    sa.Column("name", sa.String(64)),
    sa.Column("room", sa.String(64)),
    sa.Column("seat", sa.String(64)),
    sa.Column("where", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("retired", sa.Boolean),
    sa.Column("replaced_by", sa.String(64)),
)
ROLLOUT = sa.Table(
    "rollout",
    _META,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16)),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
    sa.Column("file", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("batch", sa.Integer),
    sa.Column("settle", sa.Float),
    sa.Column("undo", sa.Boolean),
    sa.Column("phase", sa.String(16)),
    sa.Column("why", sa.Text),
)
TARGET = sa.Table(
    "target",
    _META,
    sa.Column("rollout", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer),
    sa.Column("facts", sa.Text),
    sa.Column("facts_before", sa.Text),
    sa.Column("roles", sa.Text),
    sa.Column("before", sa.BigInteger),
    sa.Column("replaces", sa.String(64)),
    sa.Column("replaced", sa.BigInteger),
    sa.Column("revision", sa.BigInteger),
    sa.Column("outcome", sa.String(16)),
    sa.Column("why", sa.Text),
)
RETIREMENT = sa.Table(
    "retirement",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("station", sa.String(64)),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
)
SAID = sa.Table(
    "said",
    _META,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(8)),
    sa.Column("by", sa.String(64)),
    sa.Column("since", sa.String(32)),
    sa.Column("until", sa.String(32)),
)
KEEPER = sa.Table(
    "keeper",
    _META,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("written", sa.BigInteger),
    sa.Column("alive", sa.String(32)),
    sa.Column("signing_key", sa.String(64)),
)
SCHEDULE = sa.Table(
    "schedule",
    _META,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Text),
    sa.Column("etag", sa.Text),
    sa.Column("modified", sa.Text),
    sa.Column("at", sa.String(32)),
    sa.Column("content", sa.LargeBinary),
)
SCHEDULE_CHANGE = sa.Table(
    "schedule_change",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(32)),
    sa.Column("text", sa.Text),
)
SEGMENT = sa.Table(
    "segment",
    _META,
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("index", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("begin", sa.String(32)),
    sa.Column("payload", sa.Text),
)
MARK = sa.Table(
    "mark",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("room", sa.String(64)),
    sa.Column("kind", sa.String(8)),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
    sa.Column("set_at", sa.String(32)),
    sa.Column("note", sa.Text),
)
STOP = sa.Table(
    "stop",
    _META,
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(64), primary_key=True),
    sa.Column("instance", sa.String(64), primary_key=True),
    sa.Column("by", sa.String(64)),
    sa.Column("why", sa.Text),
    sa.Column("at", sa.String(32)),
    sa.Column("until", sa.String(32)),
)
ACK = sa.Table(
    "ack",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("station", sa.String(64)),
    sa.Column("at", sa.String(32)),
    sa.Column("revision", sa.BigInteger),
    sa.Column("in_force", sa.BigInteger),
    sa.Column("signed", sa.Boolean),
    sa.Column("result", sa.String(16)),
    sa.Column("error", sa.Text),
)
PRESENCE = sa.Table(
    "presence",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("station", sa.String(64)),
    sa.Column("at", sa.String(32)),
    sa.Column("state", sa.String(16)),
    sa.Column("boot", sa.String(64)),
)
PERSON = sa.Table(
    "person",
    _META,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("rights", sa.Text),
    sa.Column("password", sa.Text),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
)
SIGN_IN = sa.Table(
    "sign_in",
    _META,
    sa.Column("token", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64)),
    sa.Column("until", sa.String(32)),
)
DEED = sa.Table(
    "deed",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(32)),
    sa.Column("kind", sa.String(16)),
    sa.Column("by", sa.String(64)),
    sa.Column("station", sa.String(64)),
    sa.Column("text", sa.Text),
)
TOKEN = sa.Table(
    "token",
    _META,
    sa.Column("token", sa.String(16), primary_key=True),
    sa.Column("until", sa.String(32)),
    sa.Column("uses", sa.Integer),
    sa.Column("used", sa.Integer),
    sa.Column("room", sa.String(64)),
    sa.Column("approve", sa.Boolean),
    sa.Column("at", sa.String(32)),
    sa.Column("by", sa.String(64)),
)
CREDENTIAL = sa.Table(
    "credential",
    _META,
    sa.Column("station", sa.String(64), primary_key=True),
    sa.Column("public_key", sa.String(100)),
    sa.Column("at", sa.String(32)),
    sa.Column("ends", sa.String(32)),
    sa.Column("token", sa.String(16)),
)
