/* A function whose address a resolver is to choose when the program starts. */

static int chosen(void)
{
    return 42;
}

static int (*resolve(void))(void)
{
    return chosen;
}

int answer(void) __attribute__((ifunc("resolve")));
