# bash completion for spile: the command itself knows what may come next.
_spile() {
    local words=() prefix='' rest=$COMP_LINE piece i=0
    # Readline has broken the words at '=' and ':' too: those that no blank stands before belong together.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        if [[ $rest == [[:blank:]]* || ${#words[@]} -eq 0 ]]; then
            rest=${rest#"${rest%%[![:blank:]]*}"}
            words+=('')
            prefix=''
        else
            prefix=${words[-1]}
        fi
        rest=${rest#"$piece"}
        words[-1]+=$piece
    done
    [[ $piece != [=:] ]] || prefix+=$piece
    for i in "${!words[@]}"; do # without the quotes around a template
        [[ ${words[i]} != [\'\"]*[\'\"] ]] || words[i]=${words[i]:1:-1}
    done
    local found candidate
    mapfile -t found < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    compopt -o nospace 2>/dev/null
    for candidate in "${found[@]}"; do
        candidate=${candidate#"$prefix"}
        [[ $candidate != *[![:alnum:]_.,:=/@%+~-]* ]] || printf -v candidate %q "$candidate"
        [[ $candidate == *[=:/,] ]] || candidate+=' '
        COMPREPLY+=("$candidate")
    done
}
complete -F _spile spile
