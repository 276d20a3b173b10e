/* Counts words. `stddef.h` is the compiler's own header. */
#include <stddef.h>

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t count_words(const char *text, size_t length) {
    size_t words = 0;
    int inside = 0;
    for (size_t at = 0; at < length; at++) {
        int space = is_space(text[at]);
        words += !space && !inside;
        inside = !space;
    }
    return words;
}
