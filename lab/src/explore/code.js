// Code for C, for rawthread, and for the lab. No document here either.

// Names joined by " | ", on lines of their own where they are many.
function joined(names, indent) {
  if (names.join(" | ").length <= 28) return names.join(" | ") || "0";
  const lines = [];
  for (const name of names) {
    const last = lines.length - 1;
    if (lines.length && lines[last].length + name.length < 28) lines[last] += ` | ${name}`;
    else lines.push(name);
  }
  return lines.join(`\n${" ".repeat(indent)}| `);
}

// The fields of clone3's structure that the flags make the kernel read.
function fieldsInC(request, own) {
  const { flags } = request;
  const fields = [["flags", joined(namesOf(flags), 8)], ["exit_signal", signalName(request.signal)]];
  if (meets(flags, FLAG.CLONE_PIDFD)) fields.push(["pidfd", "(uintptr_t)&pidfd"]);
  if (meets(flags, FLAG.CLONE_CHILD_SETTID | FLAG.CLONE_CHILD_CLEARTID)) fields.push(["child_tid", "(uintptr_t)&child_tid"]);
  if (meets(flags, FLAG.CLONE_PARENT_SETTID)) fields.push(["parent_tid", "(uintptr_t)&parent_tid"]);
  if (own) fields.push(["stack", "(uintptr_t)stack"], ["stack_size", "STACK_SIZE"]);
  if (meets(flags, FLAG.CLONE_SETTLS)) fields.push(["tls", "(uintptr_t)tls"]);
  if (FLAG.CLONE_INTO_CGROUP && meets(flags, FLAG.CLONE_INTO_CGROUP)) fields.push(["cgroup", "cgroup_fd"]);
  return fields.map(([name, value]) => `    .${name} = ${value},`).join("\n");
}

function codeInC(request) {
  const names = namesOf(request.flags);
  const own = meets(request.flags, FLAG.CLONE_VM);
  if (request.call === "clone") {
    if (needsClone3(request.flags)) return "/* clone has no bits for these flags: take clone3. */";
    const all = [...names, ...(request.signal ? [signalName(request.signal)] : [])];
    return `/* The child runs child(argument) on its own
   stack; clone takes the upper end of it. */
int pid = clone(child, stack + STACK_SIZE,
    ${joined(all, 4)},
    argument, &parent_tid, tls, &child_tid);`;
  }
  const args = `struct clone_args args = {
${fieldsInC(request, own)}
};
`;
  if (!own) return `/* As fork: returns twice. */
${args}long pid = syscall(SYS_clone3, &args, sizeof args);`;
  return `/* On its own stack the child cannot return
   from here: it calls child(argument) and
   exits. glibc has no wrapper for that;
   this is x86-64. */
${args}register int (*r8)(void *)
    __asm__("r8") = child;
register void *r9
    __asm__("r9") = argument;
long pid = SYS_clone3;
__asm__ volatile(
    "syscall\\n\\t"
    "test %%rax, %%rax\\n\\t"
    "jnz 1f\\n\\t" /* the maker */
    "xor %%ebp, %%ebp\\n\\t"
    "mov %%r9, %%rdi\\n\\t"
    "call *%%r8\\n\\t" /* child(argument) */
    "mov %%eax, %%edi\\n\\t"
    "mov $60, %%eax\\n\\t" /* exit */
    "syscall\\n"
    "1:"
    : "+a"(pid)
    : "D"(&args), "S"(sizeof args),
      "r"(r8), "r"(r9)
    : "rcx", "r11", "memory");`;
}

// A command that makes a task of these flags and shows what it shares.
function proveIt(request) {
  const { flags, signal } = request;
  const presets = matching(flags, signal).filter((preset) => bits(preset.flags) === flags);
  if (presets.length) return `lab probe ${presets[0].id}`;
  if (!needsClone3(flags) && signal <= 0xff) return `lab probe 0x${(flags | BigInt(signal)).toString(16)}`;
  return `lab probe 'clone3({flags=${namesOf(flags).join("|") || "0"}, exit_signal=${signalName(signal)}}, 88)'`;
}

function codeInRust(request) {
  const { flags } = request;
  if (meets(flags, FLAG.CLONE_THREAD)) {
    const usual = bits(DATA.presets.find((preset) => preset.id === "rawthread").flags);
    const without = usual & ~flags & ~bits(DATA.bookkeeping);
    const more = flags & ~usual & ~bits(DATA.bookkeeping);
    const left = { [FLAG.CLONE_FS]: "private_cwd()", [FLAG.CLONE_FILES]: "private_fds()" };
    const calls = Object.keys(left).filter((flag) => meets(without, BigInt(flag)));
    const explained = calls.reduce((set, flag) => set | BigInt(flag), 0n);
    if (more !== 0n || without !== explained) {
      return "// rawthread makes no threads of these flags: its threads share handlers and undo lists.";
    }
    if (calls.length === 0) return "let thread = rawthread::spawn(|| 42);\nassert_eq!(thread.join().unwrap(), 42);";
    const unsafe = calls.includes(String(FLAG.CLONE_FILES));
    const builder = `rawthread::Builder::new()${calls.map((call) => `.${left[call]}`).join("")}`;
    return unsafe
      ? `// SAFETY: no OwnedFd crosses between this thread and others.\nlet builder = unsafe { ${builder} };\nlet thread = builder.spawn(|| 42)?;`
      : `let thread = ${builder}.spawn(|| 42)?;`;
  }
  const names = namesOf(flags).map((name) => `CloneFlags::${name.slice(6)}`).join(" | ");
  const lines = ["let builder = rawthread::process::Builder::new()"];
  if (names) lines.push(`    .flags(${names})`);
  if (request.signal !== 17) lines.push(`    .exit_signal(${request.signal})`);
  const rule = meets(flags, FLAG.CLONE_VM)
    ? "the child borrows nothing that may end before it does."
    : "the child calls async-signal-safe functions alone.";
  return `use rawthread::flags::CloneFlags;

${lines.join("\n")};
// SAFETY: ${rule}
let mut child = unsafe { builder.spawn(|| 0) }?;
child.wait()?;`;
}
