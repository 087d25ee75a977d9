/* Which promises hold for calls on this machine, how to get the others, and whether what a host relies on is among
 * them.
 */
#include <spile.h>
#include <stdio.h>

int main(void) {
    spile_doctor *doctor = NULL;
    spile_finding finding = {.size = sizeof(finding)};
    bool is_contained = false;
    if (spile_doctor_new(NULL, &doctor) < 0)
        return 1;
    for (size_t i = 0; i < spile_doctor_count(doctor); i++) {
        spile_doctor_finding(doctor, i, &finding);
        if (!finding.promise) /* what the machine has: the reasons of the above */
            continue;
        printf("%s: %s\n", spile_promise_name(finding.promise), finding.holds ? "yes" : "no");
        if (!finding.holds && finding.cure)
            printf("  %s\n", finding.cure);
        is_contained |= finding.promise == SPILE_PROMISE_CONTAINED && finding.holds;
    }
    /* Calls can demand it: spile_call_options.require. */
    fprintf(stderr, "%s\n",
            is_contained ? "Nothing will be left of a call." : "Something may be left of a killed host's calls.");
    spile_doctor_free(doctor);
    return 0;
}
