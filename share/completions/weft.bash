# bash completion for weft; installed as bash-completion/completions/weft.

_weft()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word
    local -a words=()
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        words=(web --help --version)
    elif [[ ${COMP_WORDS[1]} != web ]]; then
        return
    else
        case $prev in
            --poller) words=(auto epoll epoll-et uring poll select) ;;
            --model) words=(coroutine thread) ;;
            --bind) words=(127.0.0.1 0.0.0.0 ::1 ::) ;;
            --mime-types)
                compopt -o default
                ;;
            --log)
                words=(none -)
                compopt -o default
                ;;
            --port | --index | --threads | --processes | --max-connections | --idle-timeout | \
                --head-timeout | --write-timeout | --grace | --cache-size | --cache-file-size)
                return
                ;;
            *)
                if [[ $cur != -* ]]; then
                    compopt -o dirnames
                    return
                fi
                words=(--bind --port --listing --index --log --model --poller --threads --processes --max-connections
                    --idle-timeout --head-timeout --write-timeout --grace --cache-size --cache-file-size
                    --no-gzip --well-known --mime-types --help)
                ;;
        esac
    fi
    for word in "${words[@]}"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

complete -F _weft weft
