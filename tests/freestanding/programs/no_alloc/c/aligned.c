/* Thread-locals aligned beyond a page, and such as are not. */

static __thread int number = 42;
static __thread struct { _Alignas(65536) unsigned char bytes[65536]; } wide;

/* 0, or the number of what is wrong in a new thread. */
int c_check_and_spoil(void)
{
    if (number != 42)
        return 1;
    if ((unsigned long)&wide % 65536 != 0)
        return 2;
    for (int i = 0; i < 65536; i++)
        if (wide.bytes[i]++ != 0)
            return 3;
    number = 7;
    return 0;
}
