# bash completion for weft; installed as bash-completion/completions/weft.

_weft_web()
{
    case $prev in
        --poller) words=(auto epoll epoll-et uring poll select) ;;
        --model) words=(coroutine thread iterative process prefork pool select poll epoll epoll-et uring) ;;
        --bind) words=(127.0.0.1 0.0.0.0 ::1 :: unix:) ;;
        --mime-types | --pid-file | --tls-cert | --tls-key)
            compopt -o default
            ;;
        --log)
            words=(none -)
            compopt -o default
            ;;
        --port | --index | --threads | --processes | --max-connections | --max-per-address | --idle-timeout | \
            --head-timeout | --write-timeout | --grace | --cache-size | --cache-file-size | --rate-limit | --status) ;;
        *)
            if [[ $cur != -* ]]; then
                compopt -o dirnames
                return
            fi
            words=(--bind --port --listing --index --log --model --poller --threads --processes --max-connections
                --max-per-address --idle-timeout --head-timeout --write-timeout --grace --cache-size --cache-file-size
                --no-gzip --well-known --mime-types --hosts --rate-limit --status --tls-cert --tls-key --pid-file --help)
            ;;
    esac
}

_weft_lesson()
{
    local verb=${COMP_WORDS[2]}
    if [[ $COMP_CWORD -eq 2 ]]; then
        words=(list run show --help)
    elif [[ $verb == list ]]; then
        words=(--json --help)
    elif [[ $cur != -* ]]; then
        mapfile -t words < <(weft lesson list 2>/dev/null | cut -d ' ' -f 1)
    elif [[ $verb == run ]]; then
        words=(--fast --unsafe --server= --client= --help)
    fi
}

_weft_bench()
{
    case $prev in
        --gil) words=(100 700 5ms) ;;
        --svg)
            compopt -o default
            ;;
        --tasks | --work) ;;
        *)
            words=(models)
            [[ $cur != -* ]] || words=(--tasks --work --gil --python --one-core --curve --locks --classic --json --svg --help)
            ;;
    esac
}

_weft_compare()
{
    case $prev in
        --job) words=(echo http cpu io udp) ;;
        --models) words=(coroutine thread iterative process prefork pool select poll epoll epoll-et uring) ;;
        --html)
            compopt -o default
            ;;
        --clients | --duration | --threads | --processes) ;;
        *) words=(--job --tls --models --clients --duration --threads --processes --json --html --help) ;;
    esac
}

_weft_load()
{
    case $prev in
        --method) words=(GET HEAD POST PUT PATCH DELETE OPTIONS) ;;
        --reply) words=(line echo) ;;
        --body-file | --ca)
            compopt -o default
            ;;
        --connections | --threads | --duration | --requests | --rate | --pipeline | --header | --body | --size | --timeout) ;;
        *)
            words=(http:// https:// tcp:// tls:// udp://)
            [[ $cur != -* ]] || words=(--connections --threads --duration --requests --rate --pipeline --method --header --body
                --body-file --size --reply --ca --insecure --tls-resume --no-keep-alive --timeout --json --quiet --help)
            ;;
    esac
}

_weft()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word
    local -a words=()
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        words=(web lesson bench compare load --help --version)
    else
        case ${COMP_WORDS[1]} in
            web) _weft_web ;;
            lesson) _weft_lesson ;;
            bench) _weft_bench ;;
            compare) _weft_compare ;;
            load) _weft_load ;;
        esac
    fi
    for word in "${words[@]}"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

complete -F _weft weft
