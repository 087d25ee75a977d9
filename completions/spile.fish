# fish completion for spile: the command itself knows what may come next.
function __spile_complete
    set -l words (commandline --cut-at-cursor --current-process --tokenize)
    $words[1] complete $words[2..] (commandline --cut-at-cursor --current-token | string unescape; or echo) 2>/dev/null
end
complete --command spile --no-files --arguments '(__spile_complete)'
