//! `lab explore`: the page is whole, and its verdicts are the library's.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rawthread::flags::{Call, Caller, CloneFlags, Fact, FlagInfo, KernelVersion, Preset};
use serde_json::{Value, json};

/// The page, written to a file of the test's own.
fn page(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("lab-{}-{name}.html", std::process::id()));
    let output = explore(&["--html", file.to_str().expect("UTF-8")]);
    assert!(output.status.success());
    file
}

fn explore(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("explore").args(arguments);
    command.output().expect("it runs")
}

/// What a script says about the page; `None` where there is no node to run it.
fn node(script: &str, page: &PathBuf, more: &[&str], input: &str) -> Option<Value> {
    let spawned = Command::new("node")
        .args(["-e", script, "script"])
        .arg(page)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("SKIP: node is not there: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("node reads");
    drop(stdin);
    let output = child.wait_with_output().expect("node ends");
    assert!(output.status.success(), "node failed");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// xorshift64*: the same requests every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[(self.roll() >> 33) as usize % items.len()]
    }
}

/// A request, as the library takes it.
struct Request {
    flags: CloneFlags,
    signal: u32,
    call: Call,
    caller: Caller,
}

fn requests() -> Vec<Request> {
    let mut dice = Dice(0x1abe_1abe_1abe_1abe);
    let kernels = [(4, 9), (5, 2), (5, 3), (5, 7), (6, 3), (6, 18), (7, 1)];
    let mut all = Vec::new();
    for _ in 0..4000 {
        let rare = dice.roll().is_multiple_of(2);
        let flags = FlagInfo::ALL.iter().fold(CloneFlags::empty(), |set, info| {
            let chance = dice.roll() >> 40 & 0xff;
            if chance < if rare { 20 } else { 80 } {
                set | info.flag
            } else {
                set
            }
        });
        let (major, minor) = dice.one_of(&kernels);
        let base = dice.one_of(&[Caller::unprivileged(), Caller::privileged()]);
        let mut caller = base.on_kernel(KernelVersion::new(major, minor, 0));
        if dice.roll().is_multiple_of(3) {
            caller = caller.with_fact(dice.one_of(Fact::ALL));
        }
        all.push(Request {
            flags,
            signal: dice.one_of(&[0, 17, 17, 10, 65, 256]),
            call: dice.one_of(&[Call::Clone, Call::Clone3]),
            caller,
        });
    }
    all
}

#[test]
fn the_pages_verdicts_are_the_librarys() {
    let page = page("verdicts");
    let requests = requests();
    let asked: Vec<_> = requests
        .iter()
        .map(|request| {
            let kernel = request.caller.kernel();
            let facts: Vec<_> = request
                .caller
                .facts()
                .map(|fact| format!("{fact:?}"))
                .collect();
            json!({
                "flags": format!("{:#x}", request.flags.bits()),
                "signal": request.signal,
                "call": if request.call == Call::Clone { "clone" } else { "clone3" },
                "kernel": [kernel.major, kernel.minor, kernel.patch],
                "facts": facts,
            })
        })
        .collect();
    let input = serde_json::to_string(&asked).expect("JSON");
    let Some(answers) = node(include_str!("explore/verdicts.test.js"), &page, &[], &input) else {
        return;
    };
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), requests.len());
    let mut refused = 0;
    for (request, answer) in requests.iter().zip(answers) {
        let Request {
            flags,
            signal,
            call,
            caller,
        } = request;
        let broken: Vec<_> = flags
            .violated_rules(*call, *signal, caller)
            .map(|rule| rule.id)
            .collect();
        assert_eq!(
            answer["broken"],
            json!(broken),
            "{flags} {signal} {call:?} {caller:?}"
        );
        refused += usize::from(!broken.is_empty());
        let effects: Vec<_> = flags
            .effects()
            .map(|(_, effect)| format!("{effect:?}"))
            .collect();
        assert_eq!(answer["effects"], json!(effects), "{flags}");
        let matching: Vec<_> = Preset::matching(*flags, *signal)
            .map(|(preset, _)| preset.id)
            .collect();
        assert_eq!(answer["matching"], json!(matching), "{flags}");
        assert_ne!(answer["c"], "");
        assert_ne!(answer["rust"], "");
    }
    assert!(refused > 100 && refused < requests.len() - 100, "{refused}");
    let _ = std::fs::remove_file(page);
}

#[test]
fn ticking_and_clicking_changes_what_is_shown() {
    let page = page("screen");
    let Some(steps) = node(include_str!("explore/dom.test.js"), &page, &[], "") else {
        return;
    };
    let text = |step: usize, field: &str| steps[step][field].as_str().expect(field).to_owned();
    assert_eq!(text(0, "verdict"), "Accepted.");
    assert!(text(0, "kind").contains("It is a thread"));
    assert!(text(0, "matches").contains("rawthread::spawn"));
    assert!(text(0, "rust").contains("rawthread::spawn(|| 42)"));
    // The preset fork.
    assert_eq!(text(1, "verdict"), "Accepted.");
    assert!(text(1, "kind").contains("It is a process"));
    assert!(text(1, "effects").contains("memory copied"));
    assert_eq!(text(1, "hash"), "#0x0,17,clone,7.1.0,user");
    // And THREAD ticked.
    assert!(
        text(2, "verdict").contains("Rule D3"),
        "{}",
        text(2, "verdict")
    );
    // What is refused has no effects, so it only would have them.
    assert_eq!(text(1, "gets"), "What the new task gets");
    assert_eq!(text(2, "gets"), "What the new task would get");
    assert!(text(2, "kind").contains("It would be a thread"));
    // The first task, from no flags to a thread.
    assert_eq!(text(3, "hash"), "#0x0,0,clone3,7.1.0,user");
    assert!(
        text(3, "rows").contains("memory copied"),
        "{}",
        text(3, "rows")
    );
    assert!(text(4, "rows").contains("memory one for both"));
    assert!(text(4, "steps").contains("✓ Tick CLONE_VM"));
    assert!(text(5, "child").contains("pid 101"));
    assert_eq!(text(5, "done"), "");
    assert_eq!(text(6, "verdict"), "Accepted.");
    assert!(text(6, "done").contains("A thread"));
    assert!(text(6, "child").contains("pid 100, tid 101"));
    assert!(text(6, "rows").contains("thread group one for both"));
    assert!(
        text(6, "picture-text").contains("One for both: memory, signal handlers, thread group")
    );
    // Caller, kernel and the set beside it are in the link, and come back from it.
    assert_eq!(text(7, "hash"), "#0x10900,0,clone3,5.3.0,root,,fork");
    assert!(
        text(7, "effects").contains("memory shared copied"),
        "{}",
        text(7, "effects")
    );
    let link = text(7, "hash");
    let again = node(include_str!("explore/dom.test.js"), &page, &[&link], "").expect("node");
    assert_eq!(again[0]["hash"], link.as_str());
    assert_eq!(again[0]["verdict"], steps[7]["verdict"]);
    assert_eq!(again[0]["effects"], steps[7]["effects"]);
    // A link of before, with three parts, and one that is none.
    let old = node(
        include_str!("explore/dom.test.js"),
        &page,
        &["#0x0,17,clone"],
        "",
    )
    .expect("node");
    assert_eq!(old[0]["hash"], "#0x0,17,clone,7.1.0,user");
    let none = node(
        include_str!("explore/dom.test.js"),
        &page,
        &["#nonsense"],
        "",
    )
    .expect("node");
    assert_eq!(none[0]["hash"], steps[0]["hash"]);
    let _ = std::fs::remove_file(page);
}

#[test]
fn the_command_that_proves_it_means_the_same_set() {
    let page = page("prove");
    let requests: Vec<_> = requests()
        .into_iter()
        .filter(|request| [0, 10, 17].contains(&request.signal))
        .take(60)
        .collect();
    let asked: Vec<_> = requests
        .iter()
        .map(|request| {
            json!({
                "flags": format!("{:#x}", request.flags.bits()), "signal": request.signal,
                "call": "clone3", "kernel": [7, 1, 0], "facts": [],
            })
        })
        .collect();
    let input = serde_json::to_string(&asked).expect("JSON");
    let Some(answers) = node(include_str!("explore/verdicts.test.js"), &page, &[], &input) else {
        return;
    };
    for (request, answer) in requests.iter().zip(answers.as_array().expect("a list")) {
        let command = answer["prove"].as_str().expect("a command");
        let argument = command.strip_prefix("lab probe ").expect(command);
        let output = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["explain", "--json", argument.trim_matches('\'')])
            .output()
            .expect("it runs");
        let told: Value = serde_json::from_slice(&output.stdout).expect(command);
        assert_eq!(
            told["bits"],
            format!("{:#x}", request.flags.bits()),
            "{command}"
        );
        assert_eq!(told["exit_signal"], request.signal, "{command}");
    }
    let _ = std::fs::remove_file(page);
}

/// What the page's C needs around it.
const PRELUDE: &str = "\
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
enum { STACK_SIZE = 65536 };
extern char *stack, *tls;
extern void *argument;
extern int pidfd, parent_tid, child_tid, cgroup_fd;
extern int child(void *);
";

#[test]
fn the_code_for_c_compiles() {
    let page = page("c");
    let presets = Preset::ALL
        .iter()
        .map(|preset| (preset.flags, preset.exit_signal));
    let asked: Vec<_> = presets
        .flat_map(|set| [(set, "clone3"), (set, "clone")])
        .map(|((flags, signal), call)| {
            json!({
                "flags": format!("{:#x}", flags.bits()), "signal": signal,
                "call": call, "kernel": [7, 1, 0], "facts": [],
            })
        })
        .collect();
    let input = serde_json::to_string(&asked).expect("JSON");
    let Some(answers) = node(include_str!("explore/verdicts.test.js"), &page, &[], &input) else {
        return;
    };
    let mut source = String::from(PRELUDE);
    for (index, answer) in answers.as_array().expect("a list").iter().enumerate() {
        let code = answer["c"].as_str().expect("code");
        if asked[index]["call"] == "clone3" {
            assert!(code.contains("struct clone_args"), "{code}");
        }
        // The assembly is x86-64's.
        if std::env::consts::ARCH == "x86_64" || !code.contains("__asm__") {
            source += &format!("long f{index}(void) {{ {code}\nreturn pid; }}\n");
        }
    }
    let compiler = Command::new("cc")
        .args([
            "-xc",
            "-std=gnu11",
            "-Wall",
            "-Werror",
            "-O2",
            "-S",
            "-o",
            "/dev/null",
            "-",
        ])
        .stdin(Stdio::piped())
        .spawn();
    let mut compiler = match compiler {
        Ok(compiler) => compiler,
        Err(error) => return println!("SKIP: there is no cc: {error}"),
    };
    let mut stdin = compiler.stdin.take().expect("a pipe");
    stdin.write_all(source.as_bytes()).expect("cc reads");
    drop(stdin);
    assert!(compiler.wait().expect("cc ends").success(), "{source}");
    let _ = std::fs::remove_file(page);
}

#[test]
fn a_dash_is_standard_output() {
    let output = explore(&["--html", "-"]);
    assert!(output.status.success());
    let html = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(html.starts_with("<!doctype html>"));
    assert!(html.trim_end().ends_with("</html>"));
}

#[test]
fn the_page_is_self_contained() {
    let page = page("whole");
    let html = std::fs::read_to_string(&page).expect("written");
    for outside in [
        "http://", "https://", "src=", "href=", "@import", "url(", "fetch(",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    for place in ["/*STYLE*/", "/*DATA*/", "/*LOGIC*/", "/*CODE*/", "/*VIEW*/"] {
        assert!(!html.contains(place), "{place} was not filled");
    }
    assert_eq!(html.matches("</script>").count(), 1);
    for info in FlagInfo::ALL {
        assert!(html.contains(info.name), "{}", info.name);
    }
    assert!(html.contains("name=\"viewport\""), "for phones");
    assert!(html.len() < 200_000, "{} bytes", html.len());
    let call = html.find("id=\"call\"").expect("the call");
    let flags = html.find("id=\"flags\"").expect("the flags");
    assert!(call < flags, "the call comes first");
    let _ = std::fs::remove_file(page);
}

#[test]
fn bad_input_gets_one_line_and_a_status() {
    for (arguments, status) in [
        (&[][..], 2),
        (&["--html"], 2),
        (&["page.html"], 2),
        // Not bad input, but nothing could be written.
        (&["--html", "/no/such/directory/page.html"], 1),
        (&["--html", "/dev/full"], 1),
    ] {
        let output = explore(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
