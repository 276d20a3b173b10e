/* Thread-locals as C has them: initialised, zero, and aligned beyond what a stack would be. */

static __thread int number = 42;
static __thread int zero[100];
static __thread struct { _Alignas(64) unsigned char bytes[64]; } wide = {{1, 2, 3}};

static int constructed;

__attribute__((constructor)) static void construct(int argc, char **argv, char **envp)
{
    number = 7; /* the main thread's, and no other's */
    constructed = argc > 0 && argv[argc] == 0 && envp == argv + argc + 1;
}

/* 0, or the number of what is wrong in a thread whose number is to be `expected`. */
int c_check(int expected)
{
    if (number != expected)
        return 1;
    for (int i = 0; i < 100; i++)
        if (zero[i] != 0)
            return 2;
    if ((unsigned long)&wide % 64 != 0)
        return 3;
    if (wide.bytes[0] != 1 || wide.bytes[2] != 3 || wide.bytes[63] != 0)
        return 4;
    return 0;
}

void c_spoil(int value)
{
    number = value;
    for (int i = 0; i < 100; i++)
        zero[i] = value;
    wide.bytes[63] = value;
}

unsigned long c_address(void)
{
    return (unsigned long)&number;
}

int c_constructed(void)
{
    return constructed;
}

/* The stack protector's secret. */
unsigned long c_canary(void)
{
#if defined(__x86_64__)
    unsigned long canary;
    __asm__("mov %%fs:0x28, %0" : "=r"(canary));
    return canary;
#else
    extern unsigned long __stack_chk_guard;
    return __stack_chk_guard;
#endif
}

/* Overwrites its own frame: the stack protector ends the process. */
int c_smash(int len)
{
    volatile char frame[16];
    volatile char *beyond = frame;
    for (int i = 0; i < len; i++)
        beyond[i] = 'x';
    return frame[0];
}
