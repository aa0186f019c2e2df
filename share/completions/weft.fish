# fish completion for weft; installed as fish/vendor_completions.d/weft.fish.

complete -c weft -f
complete -c weft -n __fish_use_subcommand -a web -d 'Serve the files of a directory over HTTP/1.1'
complete -c weft -n __fish_use_subcommand -l help -d 'Print the commands and leave'
complete -c weft -n __fish_use_subcommand -l version -d 'Print the version and leave'

set -l web '__fish_seen_subcommand_from web'
complete -c weft -n $web -a '(__fish_complete_directories)'
complete -c weft -n $web -l bind -x -a '127.0.0.1 0.0.0.0 ::1 ::' -d 'Address to listen on'
complete -c weft -n $web -l port -x -d 'Port, 0 for any free one'
complete -c weft -n $web -l poller -x -a 'auto epoll epoll-et uring poll select' -d 'How it waits for descriptors'
complete -c weft -n $web -l model -x -a 'coroutine thread' -d 'Who runs a request'
complete -c weft -n $web -l threads -x -d 'Threads that serve'
complete -c weft -n $web -l processes -x -d 'Worker processes'
complete -c weft -n $web -l index -x -d 'Names of the file that stands for a directory'
complete -c weft -n $web -l listing -d 'List directories without an index file'
complete -c weft -n $web -l cache-size -x -d 'Memory for small files'
complete -c weft -n $web -l max-connections -x -d 'Connections held at once'
complete -c weft -n $web -l head-timeout -x -d 'Time for a request head'
complete -c weft -n $web -l idle-timeout -x -d 'Time before an idle connection is closed'
complete -c weft -n $web -l log -r -a 'none -' -d 'Access log'
complete -c weft -n $web -l help -d 'Print the options and leave'
