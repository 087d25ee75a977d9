# What bash reads when replwrap starts it: what the user has, then a prompt that is known.
# shellcheck shell=bash disable=SC1090,SC1091
[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
[ -r ~/.bashrc ] && . ~/.bashrc
bind 'set enable-bracketed-paste off' 2>/dev/null
# shellcheck disable=SC2034
PROMPT_COMMAND='' PS1='$'
