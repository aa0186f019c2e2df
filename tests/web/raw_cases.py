"""The table of raw requests: what RFC 9110 and RFC 9112 ask of a server of static files, one case for each demand.

A case is (name, bytes to send, expected statuses in order, what happens then, further checks). Expected is an int, or a
tuple of statuses that are all right. Then: KEEP (the connection goes on in step: a further request is answered 200), CLOSE (it
ends, and the last answer said so), or END (it ends, said or not). %H is a good Host line."""

KEEP, CLOSE, END = "keep", "close", "end"

H = "Host: test.example\r\n"
GET = "GET /a.txt HTTP/1.1\r\n" + H
A = b"hello, file a\n"  # contents of /a.txt


def request(fields="", target="/a.txt", method="GET", version="HTTP/1.1", host=H):
    return f"{method} {target} {version}\r\n{host}{fields}\r\n"


def field(line):
    return request(line + "\r\n")


def body(text, fields, method="GET"):
    return request(fields, method=method) + text


def chunked(text, method="GET", fields=""):
    return body(text, "Transfer-Encoding: chunked\r\n" + fields, method)


def has(**wanted):
    """The last answer has these fields (underscores are dashes); None: does not have it."""
    def look(answers):
        for name, value in wanted.items():
            found = answers[-1][name.replace("_", "-")]
            if found != value:
                return f"{name.replace('_', '-')} is {found!r}, not {value!r}"
        return None
    return look


def is_body(data):
    def look(answers):
        return None if answers[-1].body == data else f"body {answers[-1].body[:80]!r}, not {data[:80]!r}"
    return look


def mentions_not(*words):
    def look(answers):
        for w in words:
            if w.encode() in answers[-1].body:
                return f"the page repeats {w!r} of the request"
        return None
    return look


FRAMING = [
    # RFC 9112 2.2: message parsing
    ("one empty line before the request line is ignored", "\r\n" + request(), [200], KEEP),
    ("several empty lines before the request line are not a request", "\r\n\r\n\r\n\r\n" + request(), [400], CLOSE),
    ("lines that end with LF alone are refused", request().replace("\r\n", "\n"), [400], CLOSE),
    ("a request line that ends with LF alone is refused", request().replace("\r\n", "\n", 1), [400], CLOSE),
    ("an empty line of LF alone is refused", request()[:-2] + "\n\r\n", [400], CLOSE),
    ("CR alone inside a value is refused", field("X: a\rb"), [400], CLOSE),
    ("CR alone in the request line is refused", "GET /a\r.txt HTTP/1.1\r\n" + H + "\r\n", [400], CLOSE),
    ("white space before the first field line is refused", "GET /a.txt HTTP/1.1\r\n " + H + "\r\n", [400], CLOSE),
    ("something that is not HTTP is refused", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [(400, 501)], CLOSE),
    ("NUL in the request line is refused", "GET /a\0.txt HTTP/1.1\r\n" + H + "\r\n", [400], CLOSE),
    # RFC 9112 2.3, RFC 9110 2.5, 6.2: versions
    ("HTTP/1.0 is answered and ended", request(version="HTTP/1.0"), [200], CLOSE),
    ("HTTP/1.0 needs no Host", request(version="HTTP/1.0", host=""), [200], CLOSE),
    ("HTTP/1.2 is answered as 1.1", request(version="HTTP/1.2"), [200], KEEP),
    ("HTTP/1.9 is answered as 1.1", request(version="HTTP/1.9"), [200], KEEP),
    ("HTTP/2.0 is 505", request(version="HTTP/2.0"), [505], CLOSE),
    ("HTTP/0.9 with a version is refused", request(version="HTTP/0.9"), [(400, 505)], CLOSE),
    ("HTTP/0.9 without a version is refused", "GET /a.txt\r\n\r\n", [400], CLOSE),
    ("the version is case-sensitive", request(version="http/1.1"), [400], CLOSE),
    ("a version without minor is refused", request(version="HTTP/1"), [400], CLOSE),
    ("a version of two digits is refused", request(version="HTTP/1.10"), [400], CLOSE),
    ("a version with a comma is refused", request(version="HTTP/1,1"), [400], CLOSE),
    ("another protocol is refused", request(version="ICY/1.1"), [400], CLOSE),
    # RFC 9112 3: the request line
    ("two spaces after the method are refused", request().replace("GET ", "GET  ", 1), [400], CLOSE),
    ("two spaces before the version are refused", request().replace(" HTTP", "  HTTP", 1), [400], CLOSE),
    ("a space after the version is refused", request().replace("1.1\r\n", "1.1 \r\n", 1), [400], CLOSE),
    ("a space before the method is refused", " " + request(), [400], CLOSE),
    ("a tab between is refused", request().replace(" HTTP", "\tHTTP", 1), [400], CLOSE),
    ("a space in the target is refused", request(target="/a b.txt"), [400], CLOSE),
    ("no target is refused", "GET HTTP/1.1\r\n" + H + "\r\n", [400], CLOSE),
    ("only a method is refused", "GET\r\n\r\n", [400], CLOSE),
    ("a method that is no token is refused", request(method="GE(T"), [(400, 501)], CLOSE),
    ("a method nobody knows is 501", request(method="BREW"), [501], KEEP),
    ("methods are case-sensitive", request(method="get"), [501], KEEP),
    ("an endless method is 501 or 400", request(method="A" * 5000), [(400, 501)], CLOSE),
    ("a target above 8 KiB is 414", request(target="/" + "a" * 9000), [414], CLOSE),
    ("a target of 8000 bytes is only missing", request(target="/" + "a" * 8000), [404], KEEP),
    ("a target above all heads is 414", request(target="/" + "a" * 40000), [414], CLOSE),
    # RFC 9112 3.2, RFC 9110 7.2: target forms and Host
    ("no Host in 1.1 is refused", request(host=""), [400], CLOSE),
    ("two Hosts are refused", request(H), [400], CLOSE),
    ("two different Hosts are refused", request("Host: other\r\n"), [400], CLOSE),
    ("an empty Host is refused", request(host="Host:\r\n"), [400], CLOSE),
    ("a Host with user information is refused", request(host="Host: me@test.example\r\n"), [400], CLOSE),
    ("a Host with a path is refused", request(host="Host: test.example/x\r\n"), [400], CLOSE),
    ("a Host with a space is refused", request(host="Host: a b\r\n"), [400], CLOSE),
    ("a Host that is a list is refused", request(host="Host: a, b\r\n"), [400], CLOSE),
    ("a Host with a port that is no number is refused", request(host="Host: a:80x\r\n"), [400], CLOSE),
    ("a Host with a port beyond 65535 is refused", request(host="Host: a:70000\r\n"), [400], CLOSE),
    ("a Host with a port is right", request(host="Host: test.example:8000\r\n"), [200], KEEP),
    ("an IPv4 Host is right", request(host="Host: 127.0.0.1\r\n"), [200], KEEP),
    ("an IPv6 Host is right", request(host="Host: [::1]:80\r\n"), [200], KEEP),
    ("an IPv6 Host without end is refused", request(host="Host: [::1\r\n"), [400], CLOSE),
    ("the name of Host is matched in any case", request(host="hOsT: a\r\n"), [200], KEEP),
    ("Host may follow other fields", request(host="X: y\r\nHost: a\r\n"), [200], KEEP),
    ("absolute-form is accepted", request(target="http://test.example/a.txt"), [200], KEEP, is_body(A)),
    ("absolute-form in any case of the scheme", request(target="HTTP://test.example/a.txt"), [200], KEEP),
    ("absolute-form overrides Host", request(target="http://other/a.txt"), [200], KEEP),
    ("absolute-form without a path is the root", request(target="http://test.example"), [200], KEEP),
    ("absolute-form with a query and no path", request(target="http://test.example?x"), [200], KEEP),
    ("absolute-form still needs Host", request(target="http://test.example/a.txt", host=""), [400], CLOSE),
    ("absolute-form with a bad host is refused", request(target="http://te st/a.txt"), [400], CLOSE),
    ("absolute-form without a host is refused", request(target="http:///a.txt"), [400], CLOSE),
    ("absolute-form of https on plain TCP is misdirected", request(target="https://test.example/a.txt"), [(421, 400)], KEEP),
    ("absolute-form of another scheme is refused", request(target="ftp://test.example/a.txt"), [400], CLOSE),
    ("authority-form with GET is refused", request(target="test.example:80"), [400], CLOSE),
    ("asterisk-form with GET is refused", request(target="*"), [400], CLOSE),
    ("a relative target is refused", request(target="a.txt"), [400], CLOSE),
    ("a fragment in the target is refused", request(target="/a.txt#x"), [400], CLOSE),
    ("CONNECT is not allowed", request(target="test.example:80", method="CONNECT"), [(405, 501)], END),
    # RFC 9112 5: field lines
    ("a folded line is refused", request("X: a\r\n b\r\n"), [400], CLOSE),
    ("a folded line by tab is refused", request("X: a\r\n\tb\r\n"), [400], CLOSE),
    ("a space before the colon is refused", field("X : a"), [400], CLOSE),
    ("a tab before the colon is refused", field("X\t: a"), [400], CLOSE),
    ("an empty name is refused", field(": a"), [400], CLOSE),
    ("a line without a colon is refused", field("X"), [400], CLOSE),
    ("a name that is no token is refused", field("X(y): a"), [400], CLOSE),
    ("a name beyond ASCII is refused", field("X\xe4: a"), [400], CLOSE),
    ("NUL in a value is refused", field("X: a\0b"), [400], CLOSE),
    ("a control byte in a value is refused", field("X: a\x01b"), [400], CLOSE),
    ("DEL in a value is refused", field("X: a\x7fb"), [400], CLOSE),
    ("bytes beyond ASCII in a value are let through", field("X: \xc3\xa4\xff"), [200], KEEP),
    ("a tab in a value is let through", field("X: a\tb"), [200], KEEP),
    ("no white space after the colon is right", field("X:a"), [200], KEEP),
    ("white space around a value is right", field("X: \t a \t"), [200], KEEP),
    ("an empty value is right", field("X:"), [200], KEEP),
    ("every token character may be in a name", field("!#$%&'*+-.^_`|~09az: x"), [200], KEEP),
    ("fields nobody knows are ignored", field("X-Whatever: 1"), [200], KEEP),
    ("100 fields are served", request("X: y\r\n" * 99), [200], KEEP),
    ("101 fields are 431", request("X: y\r\n" * 100), [431], CLOSE),
    ("a field above 16 KiB is 431", field("X: " + "y" * 20000), [431], CLOSE),
    ("fields above 16 KiB in all are 431", request(("X: " + "y" * 990 + "\r\n") * 20), [431], CLOSE),
    ("a head of 16,000 bytes is served", field("X: " + "y" * 15900), [200], KEEP),
    # RFC 9112 6: how long a message is
    ("Content-Length and Transfer-Encoding together are refused",
     chunked("0\r\n\r\n", fields="Content-Length: 5\r\n"), [400], CLOSE),
    ("the same in the other order", body("0\r\n\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), [400], CLOSE),
    ("two different Content-Lengths are refused", body("hello", "Content-Length: 5\r\nContent-Length: 6\r\n"), [400], CLOSE),
    ("two equal Content-Lengths are refused", body("hello", "Content-Length: 5\r\nContent-Length: 5\r\n"), [400], CLOSE),
    ("a list in Content-Length is refused", body("hello", "Content-Length: 5, 5\r\n"), [400], CLOSE),
    ("a plus sign in Content-Length is refused", body("hello", "Content-Length: +5\r\n"), [400], CLOSE),
    ("a minus sign in Content-Length is refused", body("hello", "Content-Length: -5\r\n"), [400], CLOSE),
    ("hexadecimal Content-Length is refused", body("hello", "Content-Length: 0x5\r\n"), [400], CLOSE),
    ("a space in Content-Length is refused", body("hello", "Content-Length: 5 5\r\n"), [400], CLOSE),
    ("an empty Content-Length is refused", body("hello", "Content-Length:\r\n"), [400], CLOSE),
    ("Content-Length beyond 64 bits is refused", body("hello", "Content-Length: 18446744073709551621\r\n"), [(400, 413)], CLOSE),
    ("Content-Length of 30 digits is refused", body("hello", "Content-Length: " + "9" * 30 + "\r\n"), [(400, 413)], CLOSE),
    ("Content-Length with letters is refused", body("hello", "Content-Length: five\r\n"), [400], CLOSE),
    ("Content-Length 0 is no body", request("Content-Length: 0\r\n"), [200], KEEP),
    ("a body of GET is read and dropped", body("hello", "Content-Length: 5\r\n"), [200], KEEP, is_body(A)),
    ("a body that looks like a request is a body", body(request(), f"Content-Length: {len(request())}\r\n"), [200], KEEP),
    ("Transfer-Encoding: identity is refused", body("", "Transfer-Encoding: identity\r\n"), [(400, 501)], CLOSE),
    ("Transfer-Encoding: gzip is refused", body("", "Transfer-Encoding: gzip\r\n"), [(400, 501)], CLOSE),
    ("gzip before chunked is 501", body("0\r\n\r\n", "Transfer-Encoding: gzip, chunked\r\n"), [501], CLOSE),
    ("chunked that is not last is refused", body("0\r\n\r\n", "Transfer-Encoding: chunked, gzip\r\n"), [(400, 501)], CLOSE),
    ("chunked twice is refused", body("0\r\n\r\n", "Transfer-Encoding: chunked, chunked\r\n"), [(400, 501)], CLOSE),
    ("chunked on two lines is refused",
     body("0\r\n\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), [(400, 501)], CLOSE),
    ("an empty Transfer-Encoding is refused", body("0\r\n\r\n", "Transfer-Encoding:\r\n"), [(400, 501)], CLOSE),
    ("xchunked is refused", body("0\r\n\r\n", "Transfer-Encoding: xchunked\r\n"), [(400, 501)], CLOSE),
    ("chunked with a parameter is refused", body("0\r\n\r\n", "Transfer-Encoding: chunked;q=1\r\n"), [(400, 501)], CLOSE),
    ("chunked behind a vertical tab is refused", body("0\r\n\r\n", "Transfer-Encoding: \x0bchunked\r\n"), [400], CLOSE),
    ("Transfer-Encoding in HTTP/1.0 is refused",
     request("Transfer-Encoding: chunked\r\n", version="HTTP/1.0") + "0\r\n\r\n", [400], CLOSE),
    ("codings are matched in any case", body("0\r\n\r\n", "Transfer-Encoding: CHUNKED\r\n"), [200], KEEP),
    # RFC 9112 7.1: chunked bodies
    ("an empty chunked body", chunked("0\r\n\r\n"), [200], KEEP),
    ("two chunks", chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), [200], KEEP),
    ("a chunk with an extension", chunked("5;a=b\r\nhello\r\n0;c\r\n\r\n"), [200], KEEP),
    ("a chunk with a quoted extension", chunked('5;a="b;\\"\r"\r\nhello\r\n0\r\n\r\n'.replace("\r\"", "\"")), [200], KEEP),
    ("upper and lower case digits", chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), [200], KEEP),
    ("leading zeros in a size", chunked("0005\r\nhello\r\n000\r\n\r\n"), [200], KEEP),
    ("trailer fields are dropped", chunked("0\r\nX: y\r\nHost: other\r\n\r\n"), [200], KEEP),
    ("a size that is no number is refused", chunked("x\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a size with 0x is refused", chunked("0x5\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a negative size is refused", chunked("-5\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a size with a plus sign is refused", chunked("+5\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("an empty size is refused", chunked("\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a space before a size is refused", chunked(" 5\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a size beyond 64 bits is refused", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), [(400, 413)], CLOSE),
    ("a chunk longer than its size is refused", chunked("4\r\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("a chunk that ends with LF alone is refused", chunked("5\r\nhello\n0\r\n\r\n"), [400], CLOSE),
    ("a size that ends with LF alone is refused", chunked("5\nhello\r\n0\r\n\r\n"), [400], CLOSE),
    ("extensions above 4 KiB are refused", chunked("5;" + "a" * 5000 + "\r\nhello\r\n0\r\n\r\n"), [(400, 413)], CLOSE),
    ("a folded trailer is refused", chunked("0\r\nX: y\r\n z\r\n\r\n"), [400], CLOSE),
    ("a trailer that is no field is refused", chunked("0\r\nwhat\r\n\r\n"), [400], CLOSE),
    ("trailers above 8 KiB are refused", chunked("0\r\nX: " + "y" * 9000 + "\r\n\r\n"), [431], CLOSE),
    ("a chunked body above 1 MiB is 413", chunked("180000\r\n" + "x" * 0x180000 + "\r\n0\r\n\r\n"), [413], CLOSE),
    ("a body of half a MiB is dropped", body("x" * 500000, "Content-Length: 500000\r\n"), [200], KEEP),
    ("a body above 1 MiB is 413", body("x" * 1500000, "Content-Length: 1500000\r\n"), [413], CLOSE),
    # RFC 9112 9: connections
    ("1.1 goes on", request(), [200], KEEP, has(Connection=None)),
    ("Connection: close ends it", request("Connection: close\r\n"), [200], CLOSE),
    ("Connection options are matched in any case", request("Connection: CLOSE\r\n"), [200], CLOSE),
    ("close in a list ends it", request("Connection: foo, close, bar\r\n"), [200], CLOSE),
    ("close on a second line ends it", request("Connection: foo\r\nConnection: close\r\n"), [200], CLOSE),
    ("close beats keep-alive", request("Connection: keep-alive, close\r\n"), [200], CLOSE),
    ("close beats keep-alive on another line", request("Connection: keep-alive\r\nConnection: close\r\n"), [200], CLOSE),
    ("close beats a later keep-alive", request("Connection: close\r\nConnection: keep-alive\r\n"), [200], CLOSE),
    ("options nobody knows are ignored", request("Connection: foo\r\n"), [200], KEEP),
    ("1.0 with keep-alive goes on and is told so",
     request("Connection: keep-alive\r\n", version="HTTP/1.0"), [200], KEEP, has(Connection="keep-alive")),
    ("1.0 with Keep-Alive in another case", request("Connection: Keep-Alive\r\n", version="HTTP/1.0"), [200], KEEP),
    ("an upgrade is ignored", request("Connection: Upgrade\r\nUpgrade: h2c\r\n"), [200], KEEP),
    ("three requests at once are answered in order",
     request() + request(target="/none") + request(target="/empty.txt"), [200, 404, 200], KEEP),
    ("a HEAD among them has no body", request() + request(method="HEAD") + request(), [200, (200, "HEAD"), 200], KEEP),
    ("nothing is answered after close", request("Connection: close\r\n") + request(), [200], CLOSE),
    ("nothing is answered after a refusal", "GET  / HTTP/1.1\r\n\r\n" + request(), [400], CLOSE),
    ("nothing is answered after doubtful framing",
     chunked("0\r\n\r\n", fields="Content-Length: 5\r\n") + request(), [400], CLOSE),
    ("100 requests at once", request() * 100, [200] * 100, KEEP),
    ("a missing file keeps the connection", request(target="/none"), [404], KEEP),
    # RFC 9110 10.1.1: Expect
    ("100-continue with a body that is there already",
     body("hello", "Content-Length: 5\r\nExpect: 100-continue\r\n"), [(200, 100)], KEEP),
    ("100-continue in another case", body("hello", "Content-Length: 5\r\nExpect: 100-Continue\r\n"), [(200, 100)], KEEP),
    ("100-continue without a body is ignored", request("Expect: 100-continue\r\n"), [200], KEEP),
    ("100-continue in 1.0 is ignored",
     request("Expect: 100-continue\r\nContent-Length: 5\r\n", version="HTTP/1.0") + "hello", [200], CLOSE),
    ("an expectation nobody knows is 417", request("Expect: the-unexpected\r\n"), [417], KEEP),
    ("100-continue for a method that is not allowed is final",
     request("Expect: 100-continue\r\nContent-Length: 5\r\n", method="POST"), [405], CLOSE),
    ("100-continue for OPTIONS, whose body is read and dropped",
     body("hello", "Content-Length: 5\r\nExpect: 100-continue\r\n", "OPTIONS"), [(204, 100)], KEEP),
    ("OPTIONS with a body that is too large is 413", request("Content-Length: 5000000\r\n", method="OPTIONS"), [413], CLOSE),
    ("100-continue for a body that is too large is final",
     request("Expect: 100-continue\r\nContent-Length: 5000000\r\n"), [413], CLOSE),
]

METHODS = [
    ("GET of a file", request(), [200], KEEP, is_body(A)),
    ("HEAD has the fields of GET and no body", request(method="HEAD"), [(200, "HEAD")], KEEP, has(Content_Length="14")),
    ("HEAD of what is missing", request(method="HEAD", target="/none"), [(404, "HEAD")], KEEP),
    ("HEAD of a directory without a slash", request(method="HEAD", target="/dir"), [(301, "HEAD")], KEEP),
    ("OPTIONS says what is allowed", request(method="OPTIONS"), [(204, 200)], KEEP, has(Allow="GET, HEAD, OPTIONS")),
    ("OPTIONS *", request(method="OPTIONS", target="*"), [(204, 200)], KEEP, has(Allow="GET, HEAD, OPTIONS")),
    ("POST is 405", body("hello", "Content-Length: 5\r\n", "POST"), [405], KEEP, has(Allow="GET, HEAD, OPTIONS")),
    ("chunked POST is 405", chunked("5\r\nhello\r\n0\r\n\r\n", "POST"), [405], KEEP),
    ("badly chunked POST is refused", chunked("5\r\nhello!\r\n0\r\n\r\n", "POST"), [400], CLOSE),
    ("PUT is 405", body("hello", "Content-Length: 5\r\n", "PUT"), [405], KEEP),
    ("DELETE is 405", request(method="DELETE"), [405], KEEP),
    ("PATCH is 405", request(method="PATCH"), [405], KEEP),
    ("TRACE is 405 and echoes nothing", request("X-Secret: abc\r\n", method="TRACE"), [405], KEEP, mentions_not("abc")),
]

TARGETS = [
    ("the root is its index", request(target="/"), [200], KEEP, is_body(b"<p>root</p>\n")),
    ("a query is not part of the name", request(target="/a.txt?x=y&z"), [200], KEEP, is_body(A)),
    ("an empty query", request(target="/a.txt?"), [200], KEEP, is_body(A)),
    ("a question mark in the query", request(target="/a.txt?a?b/../c"), [200], KEEP, is_body(A)),
    ("escapes are decoded", request(target="/%61.t%78t"), [200], KEEP, is_body(A)),
    ("escapes in lower case", request(target="/with%20space%2b.txt"), [200], KEEP),
    ("a plus sign is a plus sign", request(target="/with%20space+.txt"), [200], KEEP),
    ("escapes are decoded once", request(target="/%2561.txt"), [404], KEEP),
    ("a bad escape is refused", request(target="/%zz"), [400], KEEP),
    ("a cut escape is refused", request(target="/a%2"), [400], KEEP),
    ("an escaped NUL is refused", request(target="/a.txt%00"), [(400, 404)], KEEP),
    ("an escaped slash names no file", request(target="/dir%2Fb.txt"), [(400, 404)], KEEP),
    ("a backslash is an ordinary byte", request(target="/dir%5Cb.txt"), [404], KEEP),
    ("a dot segment is removed", request(target="/./a.txt"), [200], KEEP, is_body(A)),
    ("a double dot segment is removed", request(target="/dir/../a.txt"), [200], KEEP, is_body(A)),
    ("an escaped double dot too", request(target="/dir/%2e%2E/a.txt"), [200], KEEP, is_body(A)),
    ("nothing climbs out", request(target="/../a.txt"), [(400, 403, 404)], KEEP),
    ("nothing climbs out by escapes", request(target="/%2e%2e/%2e%2e/etc/passwd"), [(400, 403, 404)], KEEP),
    ("nothing climbs out through a directory", request(target="/dir/../../etc/passwd"), [(400, 403, 404)], KEEP),
    ("nothing climbs out by backslashes", request(target="/..%5c..%5cetc/passwd"), [(400, 403, 404)], KEEP),
    ("nothing climbs out by overlong UTF-8", request(target="/%c0%ae%c0%ae/etc/passwd"), [(400, 403, 404)], KEEP),
    ("an absolute name stays inside", request(target="//etc/passwd"), [404], KEEP),
    ("double slashes count once", request(target="//dir//b.txt"), [200], KEEP),
    ("a directory without a slash is redirected", request(target="/dir"), [301], KEEP, has(Location="/dir/")),
    ("the query goes along", request(target="/dir?a=b"), [301], KEEP, has(Location="/dir/?a=b")),
    ("a redirect names no other host", request(target="//dir"), [301], KEEP, has(Location="/dir/")),
    ("a redirect is escaped", request(target="/odd%20%3Cdir%3E"), [301], KEEP, has(Location="/odd%20%3Cdir%3E/")),
    ("a directory with a slash is its index", request(target="/dir/"), [200], KEEP, is_body(b"<p>dir</p>\n")),
    ("a directory by a dot", request(target="/dir/."), [200], KEEP, is_body(b"<p>dir</p>\n")),
    ("a directory without index is refused", request(target="/bare/"), [403], KEEP),
    ("a file with a slash is missing", request(target="/a.txt/"), [404], KEEP),
    ("a file is no directory", request(target="/a.txt/b"), [404], KEEP),
    ("what is missing is 404", request(target="/none"), [404], KEEP),
    ("a page says nothing of the request", request(target="/none<script>x"), [(404, 400)], END, mentions_not("script", "none")),
    ("a dot file is not served", request(target="/.secret"), [404], KEEP),
    ("a dot file by an escape is not served", request(target="/%2esecret"), [404], KEEP),
    ("a file in a dot directory is not served", request(target="/.git/config"), [404], KEEP),
    ("nor /.well-known/ unless asked for", request(target="/.well-known/x"), [404], KEEP),
    ("a dot directory is not redirected", request(target="/.git"), [404], KEEP),
    ("a link inside is followed", request(target="/inside.txt"), [200], KEEP, is_body(A)),
    ("a link out is refused", request(target="/outside"), [(403, 404)], KEEP),
    ("a link out by an absolute name is refused", request(target="/absolute"), [(403, 404)], KEEP),
    ("a linked directory out is refused", request(target="/outdir/passwd"), [(403, 404)], KEEP),
    ("a loop of links is refused", request(target="/loop"), [(403, 404)], KEEP),
    ("a FIFO is refused", request(target="/fifo"), [(403, 404)], KEEP),
    ("a socket is refused", request(target="/socket"), [(403, 404)], KEEP),
    ("a name of 255 bytes", request(target="/" + "n" * 255), [200], KEEP),
    ("a name of 256 bytes is missing", request(target="/" + "n" * 256), [404], KEEP),
    ("a path of 5,000 bytes is missing", request(target="/" + "a/" * 2500), [404], KEEP),
    ("a name that is not UTF-8", request(target="/latin%E4.txt"), [200], KEEP),
    ("a name in UTF-8", request(target="/%C3%A4%F0%9F%A7%B6.txt"), [200], KEEP),
    ("raw bytes beyond ASCII in the target", request(target="/\xc3\xa4\xf0\x9f\xa7\xb6.txt"), [(200, 400)], END),
    ("a name with a newline", request(target="/new%0Aline.txt"), [200], KEEP),
    ("a name with a question mark", request(target="/what%3F.txt"), [200], KEEP),
    ("a tilde and an ampersand", request(target="/~a&b;c=d.txt"), [200], KEEP),
    ("an empty file", request(target="/empty.txt"), [200], KEEP, has(Content_Length="0")),
]

TYPES = [
    (f"the type of .{e}", request(target=f"/types/x.{e}"), [200], KEEP, has(Content_Type=t))
    for e, t in [
        ("html", "text/html; charset=utf-8"), ("css", "text/css; charset=utf-8"), ("js", "text/javascript; charset=utf-8"),
        ("json", "application/json"), ("svg", "image/svg+xml"), ("png", "image/png"), ("jpg", "image/jpeg"),
        ("wasm", "application/wasm"), ("txt", "text/plain; charset=utf-8"), ("pdf", "application/pdf"),
        ("woff2", "font/woff2"), ("mp4", "video/mp4"), ("unknown-extension", "application/octet-stream"),
        ("PNG", "image/png"),
    ]
]
