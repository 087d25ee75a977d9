#include "inc/answer.h"
int answer(void) { return 42; }
