// The library's tables, read as the library reads them. No document here: tests run this part.
const LOW = 0xffffffffn;
const bits = (text) => BigInt(text);
const has = (set, part) => (set & part) === part;
const meets = (set, part) => (set & part) !== 0n;
const later = (a, b) => {
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] > b[i];
  return false;
};
const FLAG = Object.fromEntries(DATA.flags.map((flag) => [flag.name, bits(flag.bit)]));
const NAMED = DATA.flags.reduce((set, flag) => set | bits(flag.bit), 0n);

// A request: { flags: BigInt, signal, call: "clone" | "clone3", kernel: [a, b, c], facts: Set }.
function asked(request) {
  const tooNew = DATA.flags
    .filter((flag) => meets(request.flags, bits(flag.bit)) && later(flag.since, request.kernel))
    .reduce((set, flag) => set | bits(flag.bit), 0n);
  if (request.call === "clone") {
    const word = (request.flags & LOW) | (BigInt(request.signal) & 0xffn);
    return { ...request, flags: word & ~0xffn & ~tooNew, signal: Number(word & 0xffn), unknown: false };
  }
  const known = request.flags & ~tooNew;
  const implied = meets(known, FLAG.CLONE_EMPTY_MNTNS) ? FLAG.CLONE_NEWNS : 0n;
  const strange = tooNew | (request.flags & ~NAMED);
  return { ...request, flags: request.flags | implied, unknown: meets(strange, ~LOW) };
}

const SIGNAL_IS = {
  Anything: () => true,
  Given: (signal) => signal !== 0,
  Invalid: (signal) => signal > 64 && signal <= 0xff,
  BeyondByte: (signal) => signal > 0xff,
};

function applies(rule, request) {
  const { flags } = request;
  return !later(rule.since, request.kernel)
    && (rule.until === null || later(rule.until, request.kernel))
    && (rule.call === null || rule.call === request.call)
    && has(flags, bits(rule.all))
    && (bits(rule.any) === 0n || meets(flags, bits(rule.any)))
    && !meets(flags, bits(rule.none))
    && (rule.with === null || request.facts.has(rule.with))
    && (rule.unless === null || !request.facts.has(rule.unless))
    // This page knows no caller who is out of namespaces.
    && bits(rule.exhausted) === 0n
    && SIGNAL_IS[rule.signal](request.signal)
    && (!rule.unknown || request.unknown);
}

// Every rule that the call breaks; the kernel answers by the first.
function brokenRules(request) {
  const understood = asked(request);
  return DATA.rules.filter((rule) => applies(rule, understood));
}

// What becomes of every resource, as [resource, effect].
function effectsOf(flags) {
  return DATA.effects.map((resource) => {
    let index = 0;
    resource.flags.forEach((flag, place) => {
      if (meets(flags, bits(flag))) index |= 1 << place;
    });
    return [resource, resource.table[index]];
  });
}

// The presets that fit, exact ones first.
function matching(flags, signal) {
  const counts = (set) => set & ~bits(DATA.bookkeeping);
  const fits = DATA.presets.filter((preset) => preset.signal === signal
    && counts(bits(preset.flags)) === counts(flags));
  const exact = fits.filter((preset) => bits(preset.flags) === flags);
  return [...exact, ...fits.filter((preset) => !exact.includes(preset))];
}

const namesOf = (flags) => DATA.flags.filter((flag) => meets(flags, bits(flag.bit))).map((flag) => flag.name);
const signalName = (signal) => (signal === 0 ? "0" : `SIG${DATA.signals[signal - 1] ?? signal}`);

function codeInC(request) {
  const names = namesOf(request.flags);
  const beyond = DATA.flags.some((flag) => flag.clone3 && meets(request.flags, bits(flag.bit)));
  if (request.call === "clone" && beyond) return "/* clone has no bits for these flags: take clone3. */";
  const own = meets(request.flags, FLAG.CLONE_VM);
  if (request.call === "clone" || own && !beyond) {
    const word = [...names, ...(request.signal ? [signalName(request.signal)] : [])].join(" | ") || "0";
    return `/* The child runs child(argument) on a stack of its own. */
int pid = clone(child, stack + STACK_SIZE,
                ${word},
                argument, &parent_tid, tls, &child_tid);`;
  }
  if (own) {
    return "/* glibc has no wrapper for clone3: a child that shares memory needs a stack of its own,\n"
      + "   which takes a few lines of assembly. rawthread has them. */";
  }
  return `/* As fork: returns twice. */
struct clone_args args = {
    .flags = ${names.join(" | ") || "0"},
    .exit_signal = ${signalName(request.signal)},
};
long pid = syscall(SYS_clone3, &args, sizeof args);`;
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
