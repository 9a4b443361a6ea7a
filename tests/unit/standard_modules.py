"""Every standard module of Python 3.9 to 3.14, and what RESTRICTED makes of it by default: each was thought about."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


IN_RESTRICTED = _names(
    """
    __future__ _abc _aix_support _android_support _apple_support _ast _ast_unparse _asyncio _bisect _blake2
    _bootlocale _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections
    _collections_abc _colorize _compat_pickle _compression _contextvars _csv _curses _curses_panel _datetime
    _dbm _decimal _elementtree _frozen_importlib _frozen_importlib_external _functools _gdbm _hashlib _heapq
    _hmac _imp _interpchannels _interpqueues _interpreters _io _ios_support _json _locale _lsprof _lzma
    _markupbase _md5 _msi _multibytecodec _opcode _opcode_metadata _operator _osx_support _overlapped
    _peg_parser _pickle _py_abc _py_warnings _pydatetime _pydecimal _pyio _pylong _pyrepl _queue _random
    _remote_debugging _scproxy _sha1 _sha2 _sha256 _sha3 _sha512 _signal _sitebuiltins _sqlite3 _sre _stat
    _statistics _string _strptime _struct _suggestions _symtable _sysconfig _tokenize _tracemalloc _types
    _typing _uuid _warnings _weakref _weakrefset _winapi _wmi _zoneinfo _zstd abc aifc annotationlib argparse
    array ast asyncio atexit audioop base64 bdb binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb
    chunk cmath cmd code codecs codeop collections colorsys compileall compression concurrent configparser
    contextlib contextvars copy copyreg csv curses dataclasses datetime dbm decimal difflib dis distutils
    doctest email encodings enum errno faulthandler filecmp fileinput fnmatch formatter fractions functools gc
    genericpath getopt getpass gettext glob graphlib gzip hashlib heapq hmac html http imghdr imp importlib
    inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal
    math mimetypes mmap modulefinder msilib msvcrt netrc ntpath nturl2path numbers opcode operator optparse
    parser pathlib pdb pickle pickletools pkgutil platform plistlib posixpath pprint profile pstats py_compile
    pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib rlcompleter runpy sched secrets
    select selectors shelve shlex shutil signal site sndhdr sqlite3 sre_compile sre_constants sre_parse stat
    statistics string stringprep struct sunau symbol symtable sys sysconfig tabnanny tarfile tempfile textwrap
    this time timeit token tokenize tomllib trace traceback tracemalloc types typing unicodedata unittest urllib
    uu uuid warnings wave weakref winreg winsound wsgiref xdrlib xml zipapp zipfile zipimport zlib zoneinfo
    """
)
"""Importable, those of other systems included: there the import itself says best that they are not here."""

REFUSED = _names(
    """
    _bootsubprocess _crypt _ctypes _multiprocessing _posixshmem _posixsubprocess _socket _ssl _thread
    _threading_local _tkinter antigravity asynchat asyncore crypt ctypes ensurepip fcntl ftplib grp idlelib imaplib
    multiprocessing nis nntplib nt os ossaudiodev pipes poplib posix pty pwd resource smtpd smtplib socket
    socketserver spwd ssl subprocess syslog telnetlib termios threading tkinter tty turtle turtledemo venv
    webbrowser xmlrpc
    """
)
"""What reaches outside of a run, what is kept for ADMIN, what is blocked, and private twins of these."""

REFUSED_PARTS = ("http.client", "http.server", "urllib.request", "wsgiref.simple_server")
"""Refused by themselves, while the rest of their packages is importable."""
