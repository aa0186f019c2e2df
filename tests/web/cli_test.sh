#!/bin/sh
# The command line of `weft` and `weft web`: exit codes, and one clear line for everything that is wrong.
set -u
weft=${WEFT:-build/weft}
dir=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
server=
failed=0 passed=0
mkdir "$dir/site" "$dir/closed"
echo hello >"$dir/site/index.html"

fail() {
    echo "FAIL $1"
    failed=$((failed + 1))
}

# status words... -- command: it exits with this status and prints one line on standard error that has the words.
expect() {
    status=$1
    words=$2
    shift 2
    timeout 20 "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    if [ $got -ne "$status" ]; then
        fail "'$*' exits with $got, not $status: $(cat "$dir/err")"
    elif [ "$status" -ne 0 ] && [ "$(wc -l <"$dir/err")" -ne 1 ]; then
        fail "'$*' does not print one line but: $(cat "$dir/err")"
    elif [ "$status" -ne 0 ] && [ -s "$dir/out" ]; then
        fail "'$*' prints to standard output: $(cat "$dir/out")"
    elif ! cat "$dir/out" "$dir/err" | grep -qF -e "$words"; then
        fail "'$*' does not say '$words' but: $(cat "$dir/out" "$dir/err")"
    else
        passed=$((passed + 1))
    fi
}

expect 0 "Usage:" "$weft" --help
expect 0 "weft web ." "$weft" --help
expect 0 "weft 0." "$weft" --version
expect 0 "Examples:" "$weft" web --help
expect 0 "--max-connections" "$weft" web --help
expect 2 "weft --help" "$weft"
expect 2 "did you mean 'web'" "$weft" wbe
expect 2 "there is no command 'frobnicate'" "$weft" frobnicate
expect 2 "follow a command" "$weft" --port 80
expect 0 "Usage:" "$weft" help
for command in web lesson compare bench load; do
    "$weft" $command --help >"$dir/wanted"
    expect 0 "weft $command" "$weft" help $command
    "$weft" help $command | cmp -s - "$dir/wanted" || fail "weft help $command is not weft $command --help"
done
expect 2 "there is no command 'wbe'; did you mean 'web'?" "$weft" help wbe
expect 2 "there is no option --port here" "$weft" help --port
expect 2 "'load' is one argument too many" "$weft" help web load
expect 2 "which directory" "$weft" web
expect 2 "there is no directory '/no/such'" "$weft" web /no/such
expect 2 "is not a directory" "$weft" web "$dir/site/index.html"
expect 2 "one argument too many" "$weft" web "$dir/site" more
expect 2 "did you mean --port" "$weft" web "$dir/site" --prot 80
# What those write who come from other servers.
expect 2 "given as --port 8080" "$weft" web "$dir/site" 8080
expect 2 "did you mean --tls-cert" "$weft" web "$dir/site" --cert site.pem
expect 2 "there is no option --timeout ('weft" "$weft" web "$dir/site" --timeout 5
expect 2 "--port 8000" "$weft" web "$dir/site" --bind 127.0.0.1:8000
expect 2 "--port 8000" "$weft" web "$dir/site" --bind :8000
expect 2 "there is no option --frobnicate" "$weft" web "$dir/site" --frobnicate
expect 2 "two dashes" "$weft" web "$dir/site" -p 80
expect 2 "--port takes a value" "$weft" web "$dir/site" --port
expect 2 "from 0 to 65535" "$weft" web "$dir/site" --port 65536
expect 2 "from 0 to 65535" "$weft" web "$dir/site" --port -1
expect 2 "from 0 to 65535" "$weft" web "$dir/site" --port 80x
expect 2 "from 0 to 65535" "$weft" web "$dir/site" --port=
mkfifo "$dir/fifo"
expect 2 "Operation not supported" "$weft" web "$dir/site" --port 0 --pid-file "$dir/fifo"
[ -p "$dir/fifo" ] || fail "--pid-file puts a file in the place of what is none"
expect 2 "a path like /status" "$weft" web "$dir/site" --port 0 --status status
expect 2 "a path like /status" "$weft" web "$dir/site" --port 0 --status "/my status"
expect 2 "--poller is one of" "$weft" web "$dir/site" --poller kqueue
expect 2 "--model is one of" "$weft" web "$dir/site" --model fork
# What the model has no use for is refused.
for model in iterative thread process prefork; do
    expect 2 "--threads does not go with --model $model" "$weft" web "$dir/site" --port 0 --model $model --threads 4
done
expect 2 "--processes does not go with --model process" "$weft" web "$dir/site" --port 0 --model process --processes 4
expect 2 "--poller select does not go with --model thread" "$weft" web "$dir/site" --port 0 --model thread --poller select
expect 2 "--poller uring does not go with --model epoll" "$weft" web "$dir/site" --port 0 --model epoll --poller uring
expect 2 "takes no value" "$weft" web "$dir/site" --listing=yes
expect 2 "takes a size" "$weft" web "$dir/site" --cache-size 32Q
expect 2 "takes a size" "$weft" web "$dir/site" --cache-size 99999999999G
expect 2 "takes seconds" "$weft" web "$dir/site" --idle-timeout 0
expect 2 "takes seconds" "$weft" web "$dir/site" --head-timeout soon
expect 2 "--log" "$weft" web "$dir/site" --port 0 --log /no/such/file
expect 2 "--mime-types" "$weft" web "$dir/site" --port 0 --mime-types /no/such/file
expect 2 "--index" "$weft" web "$dir/site" --port 0 --index ../secret
expect 2 "--bind" "$weft" web "$dir/site" --port 0 --bind 192.0.2.1
expect 2 "--bind" "$weft" web "$dir/site" --port 0 --bind no.such.name.invalid
expect 2 "--bind" "$weft" web "$dir/site" --port 0 --bind ""

# Control bytes of the command line do not reach the terminal.
"$weft" web "$(printf '/no/\033[31msuch')" 2>"$dir/err"
if grep -q "$(printf '\033')" "$dir/err"; then fail "an escape sequence is printed"; else passed=$((passed + 1)); fi

if [ "$(id -u)" -ne 0 ]; then
    chmod 000 "$dir/closed"
    expect 2 "cannot be read" "$weft" web "$dir/closed"
fi

# A port in use; the URL is the first line, with --port 0 too, on IPv4 and IPv6.
start() {
    : >"$dir/url"
    "$weft" web "$dir/site" "$@" >"$dir/url" 2>"$dir/err" &
    server=$!
    for _ in $(seq 100); do
        [ -s "$dir/url" ] && return
        sleep 0.1
    done
    fail "weft web $* prints no URL: $(cat "$dir/err")"
}

stop() {
    kill -TERM "$server"
    wait "$server"
    got=$?
    server=
    if [ $got -eq 0 ]; then passed=$((passed + 1)); else fail "exit status $got after SIGTERM"; fi
}

get() {
    if [ "$(curl -sg --max-time 10 "$(head -n 1 "$dir/url")")" = hello ]; then
        passed=$((passed + 1))
    else
        fail "no answer from $(cat "$dir/url")"
    fi
}

start --port 0
get
port=$(sed 's|.*:\([0-9]*\)/|\1|' "$dir/url")
case $(head -n 1 "$dir/url") in
http://127.0.0.1:*/) passed=$((passed + 1)) ;;
*) fail "the URL is $(cat "$dir/url")" ;;
esac
expect 2 "port $port on 127.0.0.1 is in use" "$weft" web "$dir/site" --port "$port"
stop

# The port can be used again at once.
start --port "$port"
get
stop

start --port 0 --processes 2
get
port=$(sed 's|.*:\([0-9]*\)/|\1|' "$dir/url")
expect 2 "in use" "$weft" web "$dir/site" --port "$port" --processes 2
stop

if [ -e /proc/net/if_inet6 ] && grep -q ' lo$' /proc/net/if_inet6; then
    for address in ::1 '[::1]'; do
        start --port 0 --bind "$address"
        get
        stop
    done
fi
start --port 0 --bind 0.0.0.0
stop

# The access log: combined format, escaped, written at the end; SIGHUP opens it anew.
start --port 0 --log "$dir/access.log"
url=$(head -n 1 "$dir/url")
curl -s -o /dev/null -A "$(printf 'agent\001"x')" "$url" || fail "curl"
curl -s -o /dev/null -A 'quote"back\slash' -e 'http://there/' "${url}missing?q=1" || fail "curl"
for _ in $(seq 50); do
    [ "$(wc -l <"$dir/access.log")" -ge 1 ] && break
    sleep 0.1
done
mv "$dir/access.log" "$dir/access.log.1"
kill -HUP "$server"
for _ in $(seq 50); do
    [ -e "$dir/access.log" ] && break
    sleep 0.1
done
curl -s -o /dev/null "${url}after"
stop
cat "$dir/access.log.1" "$dir/access.log" >"$dir/log" 2>/dev/null
line='^127\.0\.0\.1 - - \[[0-9]*/[A-Z][a-z]*/[0-9]*:[0-9:]* +0000\] "GET [^ ]* HTTP/1\.1" [0-9]* [0-9]* "[^"]*" ".*"$'
[ "$(grep -c "$line" "$dir/log")" -ge 2 ] && passed=$((passed + 1)) || fail "the log is not in combined format: $(cat "$dir/log")"
grep -qF '"GET /missing?q=1 HTTP/1.1" 404' "$dir/log" && passed=$((passed + 1)) || fail "no line for /missing: $(cat "$dir/log")"
grep -qF 'quote\x22back\x5cslash' "$dir/log" && passed=$((passed + 1)) || fail "not escaped: $(cat "$dir/log")"
grep -qF '/after' "$dir/access.log" && passed=$((passed + 1)) || fail "not in the new file after SIGHUP: $(cat "$dir/log")"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
