/* Enters the program once more, with an initial stack of the caller's. */

__attribute__((noreturn)) void restart(long *stack)
{
#ifdef __x86_64__
    __asm__ volatile("mov %0, %%rsp\n\tjmp _start" : : "r"(stack) : "memory");
#else
    __asm__ volatile("mov sp, %0\n\tb _start" : : "r"(stack) : "memory");
#endif
    __builtin_unreachable();
}
