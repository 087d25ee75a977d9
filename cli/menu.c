/* The escape key of `spile talk` at a terminal, and what may follow it. */
#include "interactive.h"

#include <ctype.h>
#include <string.h>

int key_parse(const char *text) {
    if (strcmp(text, "none") == 0)
        return 0;
    if (text[0] == '^' && text[1] && !text[2]) {
        int letter = toupper((unsigned char)text[1]);
        return letter == '?' ? 0x7f : letter > '@' && letter <= '_' ? letter - '@' : -1;
    }
    return (unsigned char)text[0] > ' ' && (unsigned char)text[0] < 0x7f && !text[1] ? text[0] : -1;
}

const char *key_name(int key) {
    return key == 0x7f ? "^?" : key < ' ' ? allocate_format("^%c", key + '@') : allocate_format("%c", key);
}

static void quit(struct interactive *interactive) {
    interactive_stop(interactive, 0);
}

static void send_break(struct interactive *interactive) {
    int result = spile_talk_break(interactive->talk, 0);
    interactive_note(interactive, "%s", result < 0 ? "only a serial port has a break" : "a break was sent");
}

static void ask_secret(struct interactive *interactive) {
    interactive->wants_secret = true;
}

static void clear(struct interactive *interactive) {
    static const char wipe[] = "\033[H\033[2J";
    interactive_print(interactive, wipe, sizeof(wipe) - 1);
}

static void switch_stamps(struct interactive *interactive) {
    interactive->has_stamps = !interactive->has_stamps;
    interactive_note(interactive, "timestamps are %s", interactive->has_stamps ? "on" : "off");
}

static void switch_local_echo(struct interactive *interactive) {
    if (!interactive->command->raw) {
        interactive_note(interactive, "lines are shown as they are typed; only --raw has a local echo");
        return;
    }
    interactive->has_local_echo = !interactive->has_local_echo;
    interactive_note(interactive, "local echo is %s", interactive->has_local_echo ? "on" : "off");
}

static void tell_state(struct interactive *interactive) {
    const spile_talk_info info = talk_info(interactive->talk);
    interactive_note(interactive, "'%s': %llu bytes came, %llu went, %llu are to go%s", info.endpoint,
                     (unsigned long long)info.bytes_in, (unsigned long long)info.bytes_out,
                     (unsigned long long)info.bytes_queued,
                     info.pid ? allocate_format("; process %lld", (long long)info.pid) : "");
}

static void help(struct interactive *interactive);

static const struct {
    char key;
    const char *what;
    void (*action)(struct interactive *interactive);
} entries[] = {
    {'q', "ends the talk", quit},
    {'e', "says that nothing more will be said", interactive_end},
    {'b', "sends a break", send_break},
    {'s', "the next line is secret: not shown, and not kept", ask_secret},
    {'t', "timestamps on and off", switch_stamps},
    {'l', "local echo on and off", switch_local_echo},
    {'c', "clears the screen", clear},
    {'i', "tells how much came and went", tell_state},
    {'z', "stops spile until the shell continues it", interactive_suspend},
    {'?', "this text", help},
};

static void help(struct interactive *interactive) {
    const char *name = key_name(interactive->command->escape);
    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
        interactive_note(interactive, "%s %c   %s", name, entries[i].key, entries[i].what);
    interactive_note(interactive, "%s %s  sends %s itself", name, name, name);
}

void menu_open(struct interactive *interactive) {
    const int escape = interactive->command->escape;
    interactive->mode->hide(interactive);
    if (interactive->key_next == interactive->key_count) /* nobody waits for it who types on */
        interactive_note(interactive, "q ends, b break, s secret, ? tells all, %s sends itself", key_name(escape));
    int key = interactive_key(interactive);
    size_t i = 0;
    while (i < sizeof(entries) / sizeof(*entries) && entries[i].key != tolower(key))
        i++;
    if (key == escape) {
        const char byte = (char)escape;
        (void)interactive_say(interactive, &byte, 1, false);
    } else if (i < sizeof(entries) / sizeof(*entries)) {
        entries[i].action(interactive);
    } else if (key != NO_KEY) {
        interactive_note(interactive, "%s means nothing here: %s ? tells what does", key_name(key), key_name(escape));
    }
    interactive->mode->show(interactive);
}
