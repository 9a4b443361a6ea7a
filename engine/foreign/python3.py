"""Python 3 for Jython: the functions of ``system.python3``, answered by a Gatewright engine.

Put this text into an Ignition project library named ``python3``, then replace ``system.python3.`` with ``python3.`` in
the project's scripts. ``gatewright client jython --help`` has the steps. Nothing else is needed: the text uses only
what Java and Jython 2.7 bring along.

    python3.exec("result = 1 + 1")                                    # 2
    python3.callScript("Plant/kpi", kwargs={"line": 4})               # the script's result
    python3.callScript("Plant/kpi", kwargs={"line": 4}, maxAge=2)     # one run for all sessions that ask within 2 s
    python3.toDataset(python3.callScript("Plant/shifts"))             # for a table

Where the engine is comes from the Java properties ``gatewright.url`` and ``gatewright.token.file``, on the engine's own
host from ``gatewright.socket``, or from ``configure()``. The token belongs in a file that only the gateway's account
may read: every Designer can read project scripts.

Every function takes ``timeout`` in seconds. A failure is a ``Python3Error``; it is a Python exception, so
``except python3.Python3Error`` catches it where ``system.python3`` needed ``except java.lang.Exception``.

All functions may be called from several threads. What the module remembers (settings, cached answers) is kept per
project and starts empty whenever the project is saved. The text is ASCII and has no coding line, because Jython
refuses one where it compiles a script from the memory.
"""

import array
import base64
import collections
import datetime
import json
import math
import threading
import time
from urllib import quote

from java.io import ByteArrayOutputStream, File, FileInputStream, IOException
from java.lang import Boolean, Byte, Character, Double, Float, Integer, Long, Short, System
from java.lang import Exception as JavaException
from java.lang import String as JavaString
from java.math import BigDecimal, BigInteger
from java.net import ConnectException, Proxy, SocketTimeoutException, URL
from java.nio import ByteBuffer
from java.nio.channels import SelectionKey, Selector, SocketChannel
from java.nio.file import FileSystems, Files
from java.security import GeneralSecurityException, KeyStore
from java.security.cert import CertificateFactory
from java.time import Instant, LocalDate, LocalDateTime, OffsetDateTime, ZoneId, ZoneOffset
from java.time.format import DateTimeFormatter, DateTimeParseException
from java.util import Base64, Calendar, Collection, Date, Map
from java.util.concurrent import Callable, Executors
from javax.net.ssl import SSLContext, SSLException, TrustManagerFactory
from jarray import zeros

VERSION = "1.0"
"""Of this text. It fits every engine whose API has the version 1, that is Gatewright from 0.1 on."""

DEFAULT_URL = None
DEFAULT_TOKEN_FILE = None
DEFAULT_CA_FILE = None
"""What counts where neither ``configure()`` nor a Java property says otherwise."""

COMPAT = "/data/python3integration/api/v1"
API = "/api/v1"
MAX_TIMEOUT = 25
"""Seconds that the engine gives a call whose caller waits; work that takes longer is for ``start``."""

MAX_BODY = 16 << 20
MAX_ANSWER = 64 << 20
"""Bytes."""

MAX_DEPTH = 100
"""Levels of nested values."""

MAX_CACHED = 200
MAX_CACHED_CHARS = 16 << 20
"""Answers that ``maxAge`` keeps, and their size together; an answer of more than a quarter of that is not kept."""


class Python3Error(Exception):
    """A call that failed.

    Attributes:
        message: What happened, as unicode; a failed script's traceback is in it.
        code: For programs. How a run ended: ``script_error``, ``import_denied``, ``timeout``, ``memory``, ``cancelled``
            and others. Why there was none: ``unreachable`` (nothing was sent), ``connection_lost`` and ``no_answer``
            (it may have run), ``tls``, ``unauthorized``, ``forbidden``, ``busy``, ``stopping``, ``bad_value``,
            ``not_configured``, ``too_large``, ``bad_answer``.
        traceback: Of the script, empty if there is none.
        output: What the script had printed.
        runId: The number of its run in the engine's history, or None.
    """

    def __init__(self, message, code="error", traceback="", output="", runId=None):
        Exception.__init__(self, message)
        self.message = message
        self.code = code
        self.traceback = traceback
        self.output = output
        self.runId = runId

    def __str__(self):
        return self.message.encode("ascii", "backslashreplace")

    def __unicode__(self):
        return unicode(self.message)

    def _again(self):
        """Return a copy for another thread: an exception that is raised twice has a traceback of both."""
        return Python3Error(self.message, self.code, self.traceback, self.output, self.runId)


# Settings ------------------------------------------------------------------------------------------------------------


class _Settings(object):
    """Where the engine is and how long it is waited for. Never changed once it is made."""

    def __init__(self, given):
        for name, value in given.items():
            setattr(self, name, value)
        if self.url is None and self.socket is None:
            self.url = System.getProperty("gatewright.url")
            self.socket = System.getProperty("gatewright.socket") if self.url is None else None
        if self.url is None and self.socket is None:
            self.url = DEFAULT_URL
        if self.url is None and self.socket is None:
            raise Python3Error(
                "python3 does not know where the engine is. Set the Java property gatewright.url or call "
                "python3.configure(url=...).",
                "not_configured",
            )
        if self.socket is not None:
            self.target = "unix:" + self.socket
            return
        self.target = self.url = _checked_url(self.url)
        if self.token is None and self.token_file is None:
            self.token_file = System.getProperty("gatewright.token.file") or DEFAULT_TOKEN_FILE
        if self.ca_file is None:
            self.ca_file = System.getProperty("gatewright.ca.file") or DEFAULT_CA_FILE

    def credentials(self):
        """Return the token, or None. A file is read again when it has changed."""
        token = self.token
        if token is None and self.token_file is not None:
            token = _token_files.read(self.token_file)
        if token is None:
            return None
        if not token or not all("!" <= letter <= "~" for letter in token):
            raise Python3Error("The token is empty or has characters that no token has.", "not_configured")
        if self.url is not None and self.url.startswith("http:") and not _is_loopback(URL(self.url).getHost()):
            raise Python3Error(
                "%s has no TLS: a token sent there could be read on its way. Use https." % self.url, "not_configured"
            )
        return token


def configure(
    url=None,
    token=None,
    token_file=None,
    ca_file=None,
    socket=None,
    timeout=10,
    connect_timeout=3,
    fail_fast=5,
    http_client=False,
):
    """Set where the engine is, for all scripts of this project. What is left out gets its default again.

    Args:
        url: ``https://host:port``, or http on the same host. Default: the Java property ``gatewright.url``.
        token: For a test only: project scripts can be read by every Designer.
        token_file: A file with the token, mode 0600, of the account that the gateway runs as; it is read again when
            it changes. Default: the Java property ``gatewright.token.file``.
        ca_file: Certificates (PEM) to trust, instead of those that Java trusts; an empty text is none. Default: the
            Java property ``gatewright.ca.file``.
        socket: The engine's unix socket, instead of a url; needs Java 16. The engine then knows the gateway's account
            from the system, and no token is needed. Default: the Java property ``gatewright.socket``.
        timeout: Seconds that a run may take where its call does not say.
        connect_timeout: Seconds.
        fail_fast: Seconds for which calls fail at once after the engine could not be reached; 0 for never.
        http_client: Go through Ignition's ``system.net.httpClient``, which trusts the gateway's certificates.
    """
    global _given
    for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout), ("fail_fast", fail_fast)):
        _check_seconds(name, value, least=0 if name == "fail_fast" else 0.001)
    if url is not None and socket:
        raise Python3Error("Give a url or a socket, not both.", "not_configured")
    if http_client and (ca_file or socket):
        raise Python3Error("With http_client there is neither a ca_file nor a socket.", "not_configured")
    _given = {
        "url": None if url is None else _checked_url(_plain(url, "url")),
        "token": _plain(token, "token"),
        "token_file": _plain(token_file, "token_file") or None,
        "ca_file": _plain(ca_file, "ca_file") or None,
        "socket": _plain(socket, "socket") or None,
        "timeout": timeout,
        "connect_timeout": connect_timeout,
        "fail_fast": fail_fast,
        "http_client": http_client,
    }
    _unreachable.clear()
    _answers.clear()
    _system_client.clear()


def _checked_url(url):
    url = url.rstrip("/")
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest or not set("@/?# ").isdisjoint(rest):
        raise Python3Error(
            "The engine's url is like https://host:port, without an account and without a path.", "not_configured"
        )
    return url


def _is_loopback(host):
    return host in ("localhost", "[::1]") or (host.startswith("127.") and host.replace(".", "").isdigit())


def _check_seconds(name, value, least=0.001, most=86400):
    if isinstance(value, bool) or not isinstance(value, (int, long, float)) or not least <= value <= most:
        raise Python3Error("%s is a number of seconds, %s to %s." % (name, least, most), "bad_value")


class _Files(object):
    """What is made of a file, kept until the file changes."""

    def __init__(self, make):
        self._make = make
        self._kept = {}

    def read(self, path):
        try:
            stamp = self._stamp(path)
            kept = self._kept.get(path)
            if kept is None or kept[0] != stamp:
                kept = self._kept[path] = (stamp, self._make(path))
            return kept[1]
        except (IOException, GeneralSecurityException) as error:
            raise Python3Error("%s cannot be used: %s" % (path, _about(error)), "not_configured")

    @staticmethod
    def _stamp(path):
        place = File(path).toPath()
        found = Files.readAttributes(place, "lastModifiedTime,size,fileKey")
        stamp = [str(found[name]) for name in ("lastModifiedTime", "size", "fileKey")]
        if "unix" in FileSystems.getDefault().supportedFileAttributeViews():  # a chmod changes no other of these
            stamp.append(str(Files.getAttribute(place, "unix:ctime")))
        return stamp


def _read_token(path):
    """Return the token in a file that only this account may read; on Windows its access list is not looked at."""
    if "unix" in FileSystems.getDefault().supportedFileAttributeViews():
        place = File(path).toPath()
        mode = Files.getAttribute(place, "unix:mode") & 0o777
        process = File("/proc/self").toPath()
        owners = set(Files.getAttribute(one, "unix:uid") for one in (place, process) if Files.exists(one))
        if len(owners) != 1 or mode & 0o077:
            raise Python3Error(
                "The token file %s is not safe: it must belong to the account of the gateway and have the mode 0600 "
                "(it has %04o)." % (path, mode),
                "not_configured",
            )
    return _read_all(FileInputStream(File(path)), 1 << 16).toString("UTF-8").strip()


def _make_trust(path):
    """Return the socket factory that trusts the certificates in a PEM file."""
    stream = FileInputStream(File(path))
    try:
        found = list(CertificateFactory.getInstance("X.509").generateCertificates(stream))
    finally:
        stream.close()
    if not found:
        raise Python3Error("%s has no certificate in it." % path, "not_configured")
    store = KeyStore.getInstance(KeyStore.getDefaultType())
    store.load(None, None)
    for number, certificate in enumerate(found):
        store.setCertificateEntry("ca%d" % number, certificate)
    managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
    managers.init(store)
    context = SSLContext.getInstance("TLS")
    context.init(None, managers.getTrustManagers(), None)
    return context.getSocketFactory()


_token_files = _Files(_read_token)
_trust_files = _Files(_make_trust)


# From Jython to JSON -------------------------------------------------------------------------------------------------

_AS_IT_IS = frozenset([type(None), bool, int, long, unicode])
_WHOLE = (Byte, Short, Integer, Long)
_UTC_MS = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC)


def _plain(value, path, depth=0):
    """Return a value as JSON can carry it.

    Args:
        path: Where it stands, for the refusal: the name of an argument, or ``(path, key or number)``. It becomes text
            only there, since a table has a hundred thousand places.
        depth: How many values it stands in.

    Raises:
        Python3Error: ``bad_value``; something else than data, or nested in itself.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, str):
        return _text(value, path)
    if not isinstance(value, (list, dict)):
        simple = _simple(value)
        if simple is not _REFUSED:
            return simple
    if depth >= MAX_DEPTH:
        raise Python3Error("%s contains itself, or is nested too deeply." % _shown(path), "bad_value")
    depth += 1
    if isinstance(value, dict):
        return _object(value.items(), path, depth)
    if isinstance(value, (list, tuple, set, frozenset, array.array)):
        return _items(value, path, depth)
    if _has(value, "getColumnNames", "getRowCount", "getValueAt"):
        return _table(value, path, depth)
    if _has(value, "getUnderlyingDataset"):
        return _plain(value.getUnderlyingDataset(), path, depth)
    if _has(value, "getValue", "getQuality", "getTimestamp"):
        return {
            "value": _plain(value.getValue(), (path, "value"), depth),
            "quality": unicode(value.getQuality()),
            "timestamp": _plain(value.getTimestamp(), (path, "timestamp"), depth),
        }
    if isinstance(value, Map):
        return _object([(entry.getKey(), entry.getValue()) for entry in value.entrySet()], path, depth)
    if isinstance(value, Collection):
        return _items(value, path, depth)
    try:  # what behaves like a dict or a list, as the properties of a Perspective view do
        if _has(value, "keys", "__getitem__"):
            return _object([(key, value[key]) for key in value.keys()], path, depth)
        if _has(value, "__len__", "__getitem__", "__iter__"):
            return _items([value[number] for number in range(len(value))], path, depth)
    except (TypeError, AttributeError):
        pass
    kind = getattr(value, "__class__", kind)
    name = kind.__name__ if kind.__module__ in ("__builtin__", "exceptions") else kind.__module__ + "." + kind.__name__
    raise Python3Error("%s is a %s, which cannot be sent to Python 3." % (_shown(path), name), "bad_value")


_REFUSED = object()


def _simple(value):
    """Return a value that has no others in it, or ``_REFUSED``."""
    if isinstance(value, Boolean):
        return value.booleanValue()
    if isinstance(value, (int, long)):
        return long(value)
    if isinstance(value, unicode):
        return unicode(value)
    if isinstance(value, _WHOLE):
        return value.longValue()
    if isinstance(value, (Double, Float)):
        return _number(value.doubleValue())
    if isinstance(value, BigInteger):
        return long(value.toString())
    if isinstance(value, BigDecimal):
        if value.scale() <= 0:
            return long(value.toPlainString())
        return _number(value.doubleValue())
    if isinstance(value, (JavaString, Character)):
        return unicode(value.toString())
    if isinstance(value, bytearray):
        return unicode(base64.b64encode(str(value)))
    if isinstance(value, array.array) and value.typecode == "b":
        return unicode(Base64.getEncoder().encodeToString(value))
    return _moment(value)


def _moment(value):
    """Return a point in time as ISO 8601 in UTC with milliseconds. One without a zone stays without."""
    if isinstance(value, Date):
        return _UTC_MS.format(Instant.ofEpochMilli(value.getTime()))
    if isinstance(value, Calendar):
        return _UTC_MS.format(Instant.ofEpochMilli(value.getTimeInMillis()))
    if isinstance(value, Instant):
        return _UTC_MS.format(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        utc = (value - value.utcoffset()).replace(tzinfo=None)
        return u"%s.%03dZ" % (utc.strftime("%Y-%m-%dT%H:%M:%S"), utc.microsecond // 1000)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return unicode(value.isoformat())
    return _REFUSED


def _number(value):
    """Return a float, or None for what JSON does not have (not a number, infinite)."""
    return None if math.isnan(value) or math.isinf(value) else value


def _text(value, path):
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Python3Error(
            "%s has bytes that are no UTF-8. Write the text as u'...', or send bytes as a bytearray." % _shown(path),
            "bad_value",
        )


def _items(values, path, depth):
    return [
        item if type(item) in _AS_IT_IS else _plain(item, (path, number), depth) for number, item in enumerate(values)
    ]


def _object(pairs, path, depth):
    """Return a dict with text for keys. Numbers become text, as ``json`` does it."""
    found = {}
    for key, item in pairs:
        name = _plain(key, (path, "(a key)"), depth)
        if isinstance(name, (int, long)) and not isinstance(name, bool):
            name = unicode(name)
        if not isinstance(name, unicode):
            raise Python3Error("%s has a key that is no text: %r" % (_shown(path), key), "bad_value")
        if name in found:
            raise Python3Error("%s has the key %r twice." % (_shown(path), key), "bad_value")
        found[name] = _plain(item, (path, name), depth)
    return found


def _table(value, path, depth):
    """Return a Dataset or PyDataSet as ``{"columns": [...], "rows": [[...], ...]}``."""
    columns = [unicode(name) for name in value.getColumnNames()]
    rows = []
    for row in range(value.getRowCount()):
        place = (path, row)
        rows.append([_plain(value.getValueAt(row, at), (place, name), depth) for at, name in enumerate(columns)])
    return {"columns": columns, "rows": rows}


def _has(value, *names):
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in names)


def _shown(path):
    """Return a path as a script would write it: ``variables.v[2]``."""
    text = ""
    while isinstance(path, tuple):
        path, key = path
        text = ("[%d]" % key if isinstance(key, int) else "." + key) + text
    return (path + text)[:200].encode("ascii", "backslashreplace")


def _list(value, name):
    """Return positional arguments: of a list, a tuple or any collection."""
    plain = [] if value is None else _plain(value, name)
    if not isinstance(plain, list):
        raise Python3Error("%s is a list." % name, "bad_value")
    return plain


def _dict(value, name):
    plain = {} if value is None else _plain(value, name)
    if not isinstance(plain, dict):
        raise Python3Error("%s is a dict." % name, "bad_value")
    return plain


# One request and its answer ------------------------------------------------------------------------------------------


class _Request(object):
    """What is sent, and how long its answer may take in seconds."""

    def __init__(self, settings, method, path, body, wait, key):
        self.method = method
        self.path = path
        self.wait = wait
        self.key = key
        self.text = json.dumps(body, allow_nan=False) if body is not None else ""
        if len(self.text) > MAX_BODY:
            raise Python3Error(
                "The call is too large: %d bytes; the engine takes %d." % (len(self.text), MAX_BODY), "too_large"
            )
        self.headers = [
            ("Accept", "application/json"),
            ("User-Agent", "gatewright-jython/" + VERSION),
            ("X-Gatewright-Traceback", "1"),
        ]
        if method == "POST":
            self.headers.append(("Content-Type", "application/json"))
        if key is not None:
            self.headers.append(("Idempotency-Key", _header_text(key)))
        token = settings.credentials()
        if token is not None:
            self.headers.append(("Authorization", "Bearer " + token))

    def content(self):
        return JavaString(self.text).getBytes("US-ASCII")  # json.dumps escapes everything else


def _header_text(key):
    if not isinstance(key, basestring) or not 0 < len(key) <= 255 or not all(" " <= letter <= "~" for letter in key):
        raise Python3Error("key is a text of 1 to 255 ASCII characters.", "bad_value")
    return str(key)


def _exchange(settings, request):
    """Send a request and return ``(status, text)``.

    What certainly did not arrive is sent once more; what may have arrived is repeated only with a key, which lets the
    engine answer the repeat with the first answer.
    """
    _unreachable.check(settings)
    send = _over_socket if settings.socket is not None else _over_system if settings.http_client else _over_http
    repeats = 0
    while True:
        try:
            answer = send(settings, request)
            _unreachable.forget(settings)
            return answer
        except Python3Error as error:
            if error.code != "unreachable":
                _unreachable.forget(settings)
            may = error.code == "unreachable" and not getattr(error, "waited", False)
            may = may or (request.key is not None and error.code in ("unreachable", "connection_lost"))
            if not may or repeats >= (1 if request.key is None else 2):
                if error.code == "unreachable":
                    _unreachable.remember(settings)
                raise
        repeats += 1
        time.sleep(0.2 * repeats)


class _Unreachable(object):
    """Engines that could not be reached: until when calls fail at once.

    A tag event has few threads. None of them may wait for an engine that the one before it did not reach.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._until = {}

    def check(self, settings):
        """Raise if the engine was not reached a moment ago. After that moment one caller tries; the others go on."""
        with self._lock:
            until = self._until.get(settings.target)
            if until is None:
                return
            left = until - _now()
            if left <= 0:
                self._until[settings.target] = _now() + settings.connect_timeout
                return
        raise Python3Error(
            "The engine at %s could not be reached a moment ago; the next call in %.1f s tries again."
            % (settings.target, left),
            "unreachable",
        )

    def remember(self, settings):
        with self._lock:
            if settings.fail_fast:
                self._until[settings.target] = _now() + settings.fail_fast

    def forget(self, settings):
        if settings.target in self._until:
            with self._lock:
                self._until.pop(settings.target, None)

    def clear(self):
        with self._lock:
            self._until.clear()


_unreachable = _Unreachable()


def _now():
    """Return seconds of a clock that only moves forward."""
    return System.nanoTime() / 1e9


def _ms(seconds):
    return max(1, int(seconds * 1000))


def _about(error):
    """Return what a Java exception says, with its name where it says too little."""
    return "%s (%s)" % (error.getMessage(), error.getClass().getSimpleName())


def _not_reached(settings, error, waited=False):
    found = Python3Error("The engine at %s cannot be reached: %s" % (settings.target, _about(error)), "unreachable")
    found.waited = waited
    return found


def _lost(error):
    return Python3Error(
        "The connection to the engine broke before its answer was there; the call may have been carried out: %s"
        % _about(error),
        "connection_lost",
    )


def _no_answer(request):
    return Python3Error("The engine did not answer within %g seconds." % request.wait, "no_answer")


def _read_all(stream, limit, deadline=None, request=None):
    """Return a stream's bytes, and close it."""
    found = ByteArrayOutputStream()
    piece = zeros(65536, "b")
    try:
        while True:
            count = stream.read(piece)
            if count < 0:
                return found
            found.write(piece, 0, count)
            if found.size() > limit:
                raise Python3Error("This is larger than %d bytes." % limit, "too_large")
            if deadline is not None and _now() > deadline:
                raise _no_answer(request)
    finally:
        stream.close()


def _over_http(settings, request):
    """Send over TCP, with or without TLS.

    No proxy: it would be handed the token. A fixed length: without, Java sends a POST a second time by itself when the
    connection breaks. No redirects: they would take the token elsewhere.
    """
    deadline = _now() + request.wait
    connection = _connect(settings, request)
    done = False
    try:
        if request.method == "POST":
            stream = connection.getOutputStream()
            stream.write(request.content())
            stream.close()
        status = connection.getResponseCode()
        stream = connection.getErrorStream() if status >= 400 else connection.getInputStream()
        if stream is None:  # 401 in answer to a fixed length: Java keeps its body for itself
            return status, ""
        found = _read_all(stream, MAX_ANSWER, deadline, request)
        if connection.getContentLengthLong() not in (-1, found.size()):  # Java says nothing of that
            raise IOException("half an answer")
        done = True
        return status, found.toString("UTF-8")
    except SocketTimeoutException:
        raise _no_answer(request)
    except IOException as error:
        raise _lost(error)
    finally:
        if not done:
            connection.disconnect()  # the engine sees that and stops the run


def _connect(settings, request):
    try:
        connection = URL(settings.url + request.path).openConnection(Proxy.NO_PROXY)
        if settings.ca_file is not None and settings.url.startswith("https:"):
            connection.setSSLSocketFactory(_trust_files.read(settings.ca_file))
        connection.setConnectTimeout(_ms(settings.connect_timeout))
        connection.setReadTimeout(_ms(request.wait))
        connection.setInstanceFollowRedirects(False)
        connection.setUseCaches(False)
        connection.setRequestMethod(request.method)
        for name, value in request.headers:
            connection.setRequestProperty(name, value)
        if request.method == "POST":
            connection.setDoOutput(True)
            connection.setFixedLengthStreamingMode(len(request.text))
        connection.connect()
        return connection
    except SSLException as error:
        raise Python3Error(
            "No safe connection to %s: %s%s" % (settings.target, _about(error), _trusted(settings, error)), "tls"
        )
    except SocketTimeoutException as error:
        raise _not_reached(settings, error, waited=True)
    except IOException as error:
        raise _not_reached(settings, error)


def _trusted(settings, error):
    """Return what to do where the certificate is of no authority that is trusted."""
    if "PKIX" not in unicode(error.getMessage()):
        return ""
    if settings.ca_file is None:
        return (
            ". If it has a certificate of an authority of your own, say which: ca_file=FILE in configure(), or the "
            "Java property gatewright.ca.file."
        )
    return ". Its certificate is of none of the authorities in %s (ca_file)." % settings.ca_file


def _over_socket(settings, request):
    """Send over the engine's unix socket: one connection for one exchange, read to its end."""
    try:
        from java.net import StandardProtocolFamily, UnixDomainSocketAddress
    except ImportError:
        raise Python3Error(
            "A unix socket needs Java 16; this is Java %s. Use a url." % System.getProperty("java.version"),
            "not_configured",
        )
    deadline = _now() + request.wait
    lines = ["%s %s HTTP/1.1" % (request.method, request.path), "Host: engine", "Connection: close"]
    lines += ["%s: %s" % header for header in request.headers]
    if request.method == "POST":
        lines.append("Content-Length: %d" % len(request.text))
    head = "\r\n".join(lines) + "\r\n\r\n"
    outgoing = ByteBuffer.wrap(JavaString(head + request.text).getBytes("US-ASCII"))
    selector = Selector.open()
    channel = None
    try:
        try:
            channel = SocketChannel.open(StandardProtocolFamily.UNIX)
            channel.configureBlocking(False)
            if not channel.connect(UnixDomainSocketAddress.of(settings.socket)):
                channel.register(selector, SelectionKey.OP_CONNECT)
                selector.select(_ms(settings.connect_timeout))
                if not channel.finishConnect():
                    raise SocketTimeoutException("too many wait there already")
        except IOException as error:
            raise _not_reached(settings, error)
        try:
            _write(channel, selector, outgoing, deadline, request)
        except IOException as error:
            if outgoing.position() == 0:
                raise _not_reached(settings, error)
            # An engine that takes no more may have answered why.
        try:
            return _answer_in(_read_to_end(channel, selector, deadline, request))
        except IOException as error:
            raise _lost(error)
    finally:
        selector.close()
        if channel is not None:
            channel.close()


def _await(channel, selector, what, deadline, request):
    """Wait until a channel can be read or written."""
    channel.register(selector, what)
    left = deadline - _now()
    if left <= 0 or selector.select(_ms(left)) == 0:
        raise _no_answer(request)
    selector.selectedKeys().clear()


def _write(channel, selector, outgoing, deadline, request):
    while outgoing.hasRemaining():
        if channel.write(outgoing) == 0:
            _await(channel, selector, SelectionKey.OP_WRITE, deadline, request)


def _read_to_end(channel, selector, deadline, request):
    found = ByteArrayOutputStream()
    piece = zeros(65536, "b")
    incoming = ByteBuffer.wrap(piece)
    while True:
        incoming.clear()
        count = channel.read(incoming)
        if count < 0:
            return found
        if count == 0:
            _await(channel, selector, SelectionKey.OP_READ, deadline, request)
            continue
        found.write(piece, 0, count)
        if found.size() > MAX_ANSWER:
            raise Python3Error("The answer is larger than %d bytes." % MAX_ANSWER, "too_large")


def _answer_in(found):
    """Return ``(status, text)`` of an HTTP answer that has its length in its head (RFC 9112, 6.3)."""
    head, end, body = found.toString("ISO-8859-1").partition("\r\n\r\n")
    lines = head.split("\r\n")
    words = lines[0].split(" ")
    fields = [line.partition(":") for line in lines[1:]]
    headers = dict((name.strip().lower(), value.strip()) for name, _, value in fields)
    if not end or len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise IOException("no answer")
    if headers.get("content-length", str(len(body))) != str(len(body)):
        raise IOException("half an answer")
    return int(words[1]), body.encode("latin-1").decode("utf-8")


def _over_system(settings, request):
    """Send through Ignition's own client, which trusts what the gateway trusts. Its ``timeout`` is in milliseconds."""
    client = _system_client.get(settings)
    given = {"url": settings.url + request.path, "method": request.method, "headers": dict(request.headers)}
    if request.method == "POST":
        given["data"] = request.text
    try:
        response = client.request(timeout=_ms(request.wait), **given)
        return int(response.statusCode), response.text
    except JavaException as error:
        causes = []
        while error is not None and len(causes) < 10:
            causes.append(error)
            error = error.getCause()
        names = [cause.getClass().getSimpleName() for cause in causes]
        if "HttpConnectTimeoutException" in names or any(isinstance(cause, ConnectException) for cause in causes):
            raise _not_reached(settings, causes[-1])
        if "HttpTimeoutException" in names:
            raise _no_answer(request)
        raise _lost(causes[-1])


class _SystemClient(object):
    """One ``system.net.httpClient`` for all calls, as its documentation asks for; each has threads of its own."""

    def __init__(self):
        self._lock = threading.Lock()
        self._client = None

    def get(self, settings):
        with self._lock:
            if self._client is None:
                # HTTP_1_1: the offer of HTTP/2 on plain http costs the body of a POST with some servers.
                self._client = _ignition().net.httpClient(
                    timeout=_ms(settings.connect_timeout),
                    version="HTTP_1_1",
                    redirect_policy="NEVER",
                    customizer=_without_proxy,
                )
            return self._client

    def clear(self):
        with self._lock:
            self._client = None


def _without_proxy(builder):
    from java.net.http import HttpClient  # since Java 11

    builder.proxy(HttpClient.Builder.NO_PROXY)


_system_client = _SystemClient()


def _ignition():
    """Return Ignition's ``system``."""
    try:
        return system  # noqa: F821 - Ignition gives it to every script
    except NameError:
        pass
    try:
        import system

        return system
    except ImportError:
        raise Python3Error("This works only inside Ignition.", "not_available")


def _call(method, path, body=None, timeout=None, wait=None, key=None):
    """Return the engine's answer as a dict.

    Args:
        timeout: Seconds for the answer, from ``configure()`` if None.
        wait: What the answer may take instead, where that is more than the timeout of the run.
    """
    return json.loads(_call_text(method, path, body, timeout, wait, key))


def _call_text(method, path, body=None, timeout=None, wait=None, key=None):
    """Return the engine's answer as JSON, once it is known to be one of success."""
    settings = _Settings(_given)
    if timeout is None:
        timeout = settings.timeout
    _check_seconds("timeout", timeout)
    status, text = _exchange(settings, _Request(settings, method, path, body, wait or timeout, key))
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _refused_without_words(settings, status)
    if status >= 400 or answer.get("success") is False:
        raise _failure(answer, status)
    return text


def _refused_without_words(settings, status):
    if status == 401:
        which = "the token in %s" % settings.token_file if settings.token is None else "the token"
        if settings.token is None and settings.token_file is None:
            return Python3Error("The engine at %s needs a token." % settings.target, "unauthorized")
        return Python3Error(
            "The engine at %s does not accept %s: it is wrong, has expired or was revoked." % (settings.target, which),
            "unauthorized",
        )
    return Python3Error(
        "What answers at %s (HTTP status %d) is no Gatewright engine, or a proxy in front of it."
        % (settings.target, status),
        "bad_answer",
    )


def _failure(answer, status):
    """Return the error that an answer tells about, ours (error, code, hint) or the module's (error, message)."""
    text = answer.get("error") or answer.get("message") or "The engine refused this (HTTP status %d)." % status
    hint = answer.get("hint") or ""
    if hint not in text:  # the module's routes have it in their sentence
        text += " " + hint
    traceback = answer.get("traceback") or ""
    if traceback and traceback.strip() not in text:
        text += "\n" + traceback
    code = answer.get("code") or ("unauthorized" if status == 401 else "script_error" if traceback else "error")
    return Python3Error(text, code, traceback, answer.get("output") or "", answer.get("runId"))


# Running code --------------------------------------------------------------------------------------------------------


def _run(path, body, securityMode=None, pythonVersion=None, timeout=None):
    """Return the value that a run answers with: its result, else what it printed, else None."""
    return _value(json.loads(_run_text(path, body, securityMode, pythonVersion, timeout)))


def _run_text(path, body, securityMode=None, pythonVersion=None, timeout=None):
    if timeout is None:
        timeout = min(_given["timeout"], MAX_TIMEOUT)
    _check_seconds("timeout", timeout)
    if timeout > MAX_TIMEOUT:
        raise Python3Error(
            "A call that waits may take %d seconds. For longer work: id = python3.start(...), then python3.result(id)."
            % MAX_TIMEOUT,
            "bad_value",
        )
    body["timeout"] = timeout
    if securityMode is not None:
        body["mode"] = _plain(securityMode, "securityMode")
    if pythonVersion is not None:
        body["version"] = _plain(pythonVersion, "pythonVersion")
    return _call_text("POST", COMPAT + path, body, wait=timeout + 5)


def _value(answer):
    """Return the value in an answer, else its result as text: the printed output where the script left no result.

    There is neither where JSON has no such value (NaN): then what was printed is not the result.
    """
    value = answer.get("value")
    return value if value is not None else answer.get("result") or None


def _exec(code, variables=None, securityMode=None, pythonVersion=None, timeout=None):
    """Run code; return its ``result``, else what it printed, else None. Called as ``python3.exec``."""
    body = {"code": _plain(code, "code"), "variables": _dict(variables, "variables")}
    return _run("/exec", body, securityMode, pythonVersion, timeout)


globals()["exec"] = _exec  # the name is a keyword of Jython's, except behind a dot


def eval(expression, variables=None, securityMode=None, pythonVersion=None, timeout=None):  # noqa: A001
    """Return the value of an expression."""
    body = {"expression": _plain(expression, "expression"), "variables": _dict(variables, "variables")}
    return _run("/eval", body, securityMode, pythonVersion, timeout)


def callModule(moduleName, functionName, args=None, kwargs=None, securityMode=None, timeout=None):
    """Return what a function of a Python 3 module returns: ``callModule("math", "sqrt", [2])``."""
    body = {
        "module": _plain(moduleName, "moduleName"),
        "function": _plain(functionName, "functionName"),
        "args": _list(args, "args"),
        "kwargs": _dict(kwargs, "kwargs"),
    }
    return _run("/call-module", body, securityMode, None, timeout)


def callScript(scriptPath, args=None, kwargs=None, securityMode=None, timeout=None, maxAge=0, params=None):
    """Run a saved script; return its ``result``, else what it printed, else None.

    Args:
        scriptPath: ``"Folder/Name"``.
        args: The script's ``args``.
        kwargs: The script's ``kwargs``.
        maxAge: Seconds. The same call within that time is answered from the last answer, and while it runs, all who
            ask wait for the one run: for bindings that many sessions poll. Failures are not kept.
        params: The parameters that the script's header declares.
    """
    body = _script(scriptPath, args, kwargs, params)
    _check_seconds("maxAge", maxAge, least=0)
    if not maxAge:
        return _run("/call-script", body, securityMode, None, timeout)
    key = json.dumps([_Settings(_given).target, body, _plain(securityMode, "securityMode")], sort_keys=True)
    wait = (_given["timeout"] if timeout is None else timeout) + 5 + _given["connect_timeout"]
    text = _answers.get(key, maxAge, wait, lambda: _run_text("/call-script", body, securityMode, None, timeout))
    return _value(json.loads(text))  # of each caller's own: a list may be changed by whoever gets it


def _script(path, args, kwargs, params):
    body = {"scriptPath": _plain(path, "scriptPath"), "args": _list(args, "args"), "kwargs": _dict(kwargs, "kwargs")}
    if params is not None:
        body["params"] = _dict(params, "params")
    return body


class _Answers(object):
    """Answers by call, and the calls that are on their way."""

    def __init__(self):
        self._lock = threading.Lock()
        self._kept = collections.OrderedDict()
        self._flights = {}
        self._size = 0

    def get(self, key, max_age, wait, ask):
        """Return a kept answer, or that of the one call that is made for all who want it now."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and _now() - kept[0] <= max_age:
                return kept[1]
            flight = self._flights.get(key)
            mine = flight is None
            if mine:
                flight = self._flights[key] = _Flight()
        if mine:
            return self._fly(key, flight, ask)
        flight.landed.wait(wait)
        if flight.text is not None:
            return flight.text
        if flight.error is not None:
            raise flight.error._again()
        raise Python3Error("The call that others wait for, too, got no answer within %g seconds." % wait, "no_answer")

    def _fly(self, key, flight, ask):
        try:
            flight.text = ask()
            return flight.text
        except Python3Error as error:
            flight.error = error
            raise
        finally:
            if flight.text is None and flight.error is None:
                flight.error = Python3Error("The call that others waited for, too, was given up.", "cancelled")
            with self._lock:
                if self._flights.get(key) is flight:  # else configure() was called
                    del self._flights[key]
                    if flight.text is not None:
                        self._keep(key, flight.text)
            flight.landed.set()

    def _keep(self, key, text):
        self._drop(key)
        if len(key) + len(text) > MAX_CACHED_CHARS // 4:
            return
        self._kept[key] = (_now(), text)
        self._size += len(key) + len(text)
        while len(self._kept) > MAX_CACHED or self._size > MAX_CACHED_CHARS:
            self._drop(next(iter(self._kept)))

    def _drop(self, key):
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= len(key) + len(kept[1])

    def clear(self):
        with self._lock:
            self._kept.clear()
            self._flights.clear()
            self._size = 0


class _Flight(object):
    """A call on its way, and what came of it."""

    def __init__(self):
        self.landed = threading.Event()
        self.text = None
        self.error = None


_answers = _Answers()


def callMany(scriptPath, listOfKwargs, securityMode=None, timeout=None, parallel=3, failures="raise"):
    """Run a saved script once for each dict of keyword arguments; return the values in the same order.

    Args:
        timeout: Seconds for each call.
        parallel: Calls at the same time, 1 to 16.
        failures: ``"raise"`` the first one, and begin no further calls; or ``"return"`` each ``Python3Error`` in the
            place of its value.
    """
    if failures not in ("raise", "return"):
        raise Python3Error("failures is 'raise' or 'return'.", "bad_value")
    if parallel not in range(1, 17):
        raise Python3Error("parallel is 1 to 16.", "bad_value")
    bodies = [_script(scriptPath, None, kwargs, None) for kwargs in listOfKwargs]
    pool = Executors.newFixedThreadPool(parallel)
    try:
        calls = [pool.submit(_OneCall(body, securityMode, timeout)) for body in bodies]
        values = []
        for call in calls:
            value, error = call.get()
            if error is not None and failures == "raise":
                raise error
            values.append(value if error is None else error)
        return values
    finally:
        pool.shutdownNow()


class _OneCall(Callable):
    """A call on a thread of its own; ``call`` returns its value and its error."""

    def __init__(self, body, securityMode, timeout):
        self._given = (body, securityMode, None, timeout)

    def call(self):
        try:
            return _run("/call-script", *self._given), None
        except Python3Error as error:
            return None, error


# Work that takes longer than a caller waits --------------------------------------------------------------------------


def start(scriptPath, kwargs=None, key=None, args=None, params=None, securityMode=None, timeout=None):
    """Start a saved script and return the number of its run, at once.

    Args:
        scriptPath: As for ``callScript``.
        kwargs: The script's ``kwargs``, and the parameters that its header declares, if it declares any.
        key: A text of the caller's own. The same call with the same key within 10 minutes starts nothing new and
            returns the first run's number, so that repeating is safe.
        timeout: Seconds that the run may take; the engine's own limit if None.
    """
    body = _script(scriptPath, args, kwargs, params)
    given, body["params"] = body.get("params", {}), dict(body["kwargs"])
    body["params"].update(given)
    body["kind"] = "script"
    # A title, perhaps, and runs are started by the path of the file.
    name = quote(body.pop("scriptPath").encode("utf-8"), safe="")
    body["script"] = _call("GET", COMPAT + "/scripts/load/" + name)["script"]["path"]
    if securityMode is not None:
        body["mode"] = _plain(securityMode, "securityMode")
    if timeout is not None:
        _check_seconds("timeout", timeout)
        body["timeout"] = timeout
    return _call("POST", API + "/runs", body, key=key)["id"]


def status(id, timeout=None):  # noqa: A002
    """Return a run's record: ``state`` (queued, running, finished), ``outcome`` and others."""
    return _call("GET", "%s/runs/%d" % (API, _run_id(id)), timeout=timeout)


def result(id, wait=0, timeout=None):  # noqa: A002
    """Return the value of a run that was started.

    Args:
        wait: Seconds to wait for its end.
        timeout: Seconds for each question to the engine.

    Raises:
        Python3Error: The run failed; ``not_finished`` if it still runs.
    """
    _check_seconds("wait", wait, least=0)
    until = _now() + wait
    pause = 0.05
    while True:
        run = status(id, timeout)
        if run["state"] == "finished":
            return _result_of(run, timeout)
        left = until - _now()
        if left <= 0:
            raise Python3Error("The run %d is not finished: it is %s." % (id, run["state"]), "not_finished", runId=id)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)


def _result_of(run, timeout):
    if run.get("outcome") != "ok":
        error = run.get("error") or {}
        traceback = run.get("traceback") or ""
        kind, message = error.get("type") or "The run failed", error.get("message") or run.get("outcome")
        text = traceback or "%s: %s" % (kind, message)
        raise Python3Error(text, run.get("outcome"), traceback, _output_of(run, timeout), run["id"])
    if run.get("has_value"):
        return run.get("value")  # None for NaN, whatever was printed
    return run.get("result") or _output_of(run, timeout) or None


def _output_of(run, timeout):
    """Return what a finished run printed to its standard output."""
    if not run.get("output_bytes"):
        return ""
    found, after = [], 0
    while True:
        page = _call("GET", "%s/runs/%d/output?after=%d&limit=5000" % (API, run["id"], after), timeout=timeout)
        found += [chunk["text"] for chunk in page["chunks"] if chunk["stream"] == "stdout"]
        if not page["chunks"] or page["next_seq"] <= after:
            return "".join(found)
        after = page["next_seq"]


def cancel(id, timeout=None):  # noqa: A002
    """Stop a run, queued or running; return its record."""
    return _call("POST", "%s/runs/%d/cancel" % (API, _run_id(id)), timeout=timeout)


def _run_id(number):
    if isinstance(number, bool) or not isinstance(number, (int, long)):
        raise Python3Error("A run's id is the number that start() returned.", "bad_value")
    return number


# About the engine ----------------------------------------------------------------------------------------------------


def isAvailable(timeout=None):
    """Return True if the engine answers and can run Python 3. Raises nothing."""
    try:
        return _call("GET", COMPAT + "/version", timeout=timeout).get("available") is True
    except Python3Error:
        return False


def getVersion(timeout=None):
    """Return ``{version, available}``; ``error`` says why it is not available."""
    try:
        return _call("GET", COMPAT + "/version", timeout=timeout)
    except Python3Error as error:
        return {"version": None, "available": False, "error": error.message}


def getPoolStats(timeout=None):
    """Return ``{poolSize, totalSize, available, inUse, healthy}``, or ``{error}``."""
    try:
        return _call("GET", COMPAT + "/pool-stats", timeout=timeout)
    except Python3Error as error:
        return {"error": error.message}


def getExecutionStats(timeout=None):
    """Return counts since the engine's start, ``successRate`` (0 to 1) and times in milliseconds."""
    totals = _call("GET", COMPAT + "/metrics", timeout=timeout)
    times = _call("GET", COMPAT + "/monitoring/metrics", timeout=timeout)
    return {
        "totalExecutions": totals["total_executions"],
        "successfulExecutions": totals["successful_executions"],
        "failedExecutions": totals["failed_executions"],
        "averageExecutionTime": totals["average_execution_time_ms"],
        "successRate": totals["success_rate"] / 100.0,
        "p50ResponseTime": times["p50ResponseTimeMs"],
        "p95ResponseTime": times["p95ResponseTimeMs"],
        "p99ResponseTime": times["p99ResponseTimeMs"],
    }


def getAvailableScripts(timeout=None):
    """Return the saved scripts: ``{name, description, path, author, version, lastModified}`` each."""
    return _call("GET", COMPAT + "/scripts/available", timeout=timeout)["scripts"]


def checkSyntax(code, timeout=None):
    """Return ``{errors: [{line, column, message, severity}]}``."""
    answer = _call("POST", COMPAT + "/check-syntax", {"code": _plain(code, "code")}, timeout)
    return {"errors": answer.get("errors") or []}


def getCompletions(code, line, column, timeout=None):
    """Return ``{completions: [...], count}`` for a place in code: line from 1, column from 0."""
    body = {"code": _plain(code, "code"), "line": _plain(line, "line"), "column": _plain(column, "column")}
    try:
        answer = _call("POST", COMPAT + "/completions", body, timeout)
    except Python3Error as error:
        if error.code != "not_available":
            raise
        return {"completions": [], "count": 0, "message": error.message}
    answer.pop("success", None)
    return answer


def example(timeout=None):
    """Return what an example run answers."""
    return _call("GET", COMPAT + "/example", timeout=timeout).get("result")


def getDistributionInfo(timeout=None):
    """Return what the engine says of the Pythons on its host; ``error`` where it says nothing."""
    try:
        answer = _call("GET", COMPAT + "/distributions", timeout=timeout)
    except Python3Error as error:
        return {"available": False, "error": error.message, "installedVersions": [], "availableVersions": []}
    found = answer.get("distributions") or []
    answer["available"] = True
    answer["installedVersions"] = [one["version"] for one in found if one.get("installed")]
    answer["availableVersions"] = [one["version"] for one in found]
    return answer


def getAvailableVersions(timeout=None):
    """Return the versions of Python that a call may ask for, ``["3.11"]``."""
    return _versions(timeout)[0]


def getDefaultVersion(timeout=None):
    """Return the version of Python that runs code, ``"3.11"``."""
    return _versions(timeout)[1]


def _versions(timeout):
    try:
        answer = _call("GET", COMPAT + "/versions", timeout=timeout)
        return answer["versions"], answer["default"]
    except Python3Error as error:
        if error.code != "not_available":
            raise
    # An engine that has no list of them runs exactly one.
    only = ".".join(_call("GET", COMPAT + "/version", timeout=timeout)["pythonVersion"].split(".")[:2])
    return [only], only


def resizePool(n, timeout=None):
    """Set how many runs there may be at the same time, 1 to 20."""
    _call("POST", COMPAT + "/pool-size", {"size": _plain(n, "n")}, timeout)


# From a result to what Ignition wants --------------------------------------------------------------------------------


def toRows(value):
    """Return a table as a list of dicts.

    Args:
        value: ``{"columns": [...], "rows": [[...], ...]}`` (what a DataFrame comes as), a list of dicts, a dict of
            columns, or a Dataset.
    """
    columns, rows = _columns_and_rows(value)
    return [dict(zip(columns, row)) for row in rows]


def toDataset(value):
    """Return a table as an Ignition Dataset; takes what ``toRows`` takes."""
    columns, rows = _columns_and_rows(value)
    return _ignition().dataset.toDataSet(columns, rows)


def _columns_and_rows(value):
    if _has(value, "getColumnNames", "getRowCount", "getValueAt"):
        columns = [unicode(name) for name in value.getColumnNames()]
        places = range(len(columns))
        return columns, [[value.getValueAt(row, at) for at in places] for row in range(value.getRowCount())]
    if isinstance(value, dict):
        if set(value) == set(["columns", "rows"]):
            return list(value["columns"]), [list(row) for row in value["rows"]]
        columns = sorted(value)
        if all(isinstance(value[name], (list, tuple)) for name in columns):
            if len(set(len(value[name]) for name in columns)) <= 1:
                return columns, [list(row) for row in zip(*[value[name] for name in columns])]
    if isinstance(value, (list, tuple)) and all(isinstance(row, dict) for row in value):
        columns = []
        for row in value:
            columns += sorted(name for name in row if name not in columns)
        return columns, [[row.get(name) for name in columns] for row in value]
    raise Python3Error(
        "This is no table: {columns, rows}, a list of dicts, a dict of columns or a Dataset.", "bad_value"
    )


def toDate(value):
    """Return an ISO 8601 text as a ``java.util.Date``; one without a zone is in the zone of the gateway.

    A Date comes back as it is, and None as None.
    """
    if value is None or isinstance(value, Date):
        return value
    if not isinstance(value, basestring):
        raise Python3Error("A date is a text like 2026-03-31T14:05:00Z.", "bad_value")
    text = value.strip().replace(" ", "T", 1)
    readers = (
        lambda: OffsetDateTime.parse(text).toInstant(),
        lambda: LocalDateTime.parse(text).atZone(ZoneId.systemDefault()).toInstant(),
        lambda: LocalDate.parse(text).atStartOfDay(ZoneId.systemDefault()).toInstant(),
    )
    for read in readers:
        try:
            return Date(read().toEpochMilli())
        except DateTimeParseException:
            continue
    raise Python3Error("%r is no date like 2026-03-31T14:05:00Z." % value, "bad_value")


configure()  # what counts until a script calls it
