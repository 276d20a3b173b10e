// Included twice: `process` is `std::process` or `rawthread::process`. The idioms are those of std's
// documentation and of programs that use it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
#[allow(unused_imports, reason = "traits of std's types")]
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};

use process::{Child, Command, ExitCode, Output, Stdio};

type Dynamic = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn lines_of(child: &mut Child) -> io::Result<Vec<String>> {
    let stdout = child.stdout.as_mut().ok_or(io::ErrorKind::NotFound)?;
    BufReader::new(stdout).lines().collect()
}

#[test]
fn output_is_gathered() {
    let output = Command::new("sh")
        .arg("-c")
        .arg("echo hello; echo oops >&2; exit 3")
        .output()
        .expect("failed to execute process");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    assert_eq!(output.stderr, b"oops\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(!output.status.success());
    let Output { status, stdout, .. } = output.clone();
    assert_eq!(status.to_string(), "exit status: 3");
    assert_eq!((stdout, output.status), (output.stdout, status));
}

#[test]
fn stdin_is_fed_by_a_thread() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("failed to spawn child process");
    let mut stdin = child.stdin.take().expect("failed to open stdin");
    let writer = std::thread::spawn(move || stdin.write_all(b"Hello, world!"));
    let output = child.wait_with_output().expect("failed to read stdout");
    writer.join().unwrap().unwrap();
    assert_eq!(output.stdout, b"Hello, world!");
}

/// The pipes are fields that can be moved out of the handle.
#[test]
#[allow(clippy::zombie_processes, reason = "as std's documentation has it")]
fn commands_make_a_pipeline() {
    let echo = Command::new("echo")
        .arg("oh no, a tpyo!")
        .stdout(Stdio::piped())
        .spawn()
        .expect("failed to start echo");
    let echo_out = echo.stdout.expect("failed to open echo's stdout");
    let sed = Command::new("sed")
        .arg("s/tpyo/typo/")
        .stdin(Stdio::from(echo_out))
        .stdout(Stdio::piped())
        .spawn()
        .expect("failed to start sed");
    let output = sed.wait_with_output().expect("failed to wait on sed");
    assert_eq!(output.stdout, b"oh no, a typo!\n");

    let mut first = Command::new("printf")
        .arg("b\\na\\n")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sorted = Command::new("sort")
        .stdin(first.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(sorted.stdout, b"a\nb\n");
}

#[test]
fn lines_are_read_while_the_child_runs() {
    fn run() -> io::Result<i32> {
        let mut child = Command::new("sh")
            .args(["-c", "echo a; echo b; exit 2"])
            .current_dir("/")
            .env("A", "B")
            .stdout(Stdio::piped())
            .spawn()?;
        assert_eq!(lines_of(&mut child)?, ["a", "b"]);
        let status: process::ExitStatus = child.wait()?;
        assert!(child.try_wait()?.is_some_and(|again| again == status));
        status.code().ok_or_else(|| io::Error::other("killed"))
    }
    assert_eq!(run().unwrap(), 2);
}

#[test]
fn a_child_is_killed() {
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let id: u32 = child.id();
    assert!(id > 1 && id != process::id());
    assert!(matches!(child.try_wait(), Ok(None)));
    child.kill().expect("command couldn't be killed");
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (None, Some(libc::SIGKILL)));
    assert!(!status.core_dumped() && !status.continued());
    assert_eq!(status.stopped_signal(), None);
    assert_eq!(status.into_raw(), libc::SIGKILL);
    assert_eq!(status, process::ExitStatus::from_raw(libc::SIGKILL));
    child.kill().expect("has ended");
}

#[test]
#[allow(clippy::useless_conversion, reason = "std's error is one already")]
fn errors_pass_through_functions_of_others() {
    fn by_io() -> io::Result<()> {
        Command::new("/no/such/program").status()?;
        Ok(())
    }
    fn boxed() -> Dynamic {
        Command::new("/no/such/program").spawn()?;
        Ok(())
    }
    assert_eq!(by_io().unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(boxed().is_err());
    let nul = Command::new("echo").arg("a\0b").output().unwrap_err();
    assert_eq!(io::Error::from(nul).kind(), io::ErrorKind::InvalidInput);
    let code = |done: bool| match done {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(2),
    };
    assert_ne!(code(true), code(false));
}

#[test]
fn strings_of_every_kind_are_arguments() {
    let map: HashMap<String, String> = HashMap::from([("ONE".into(), "1".into())]);
    let owned = OsString::from("c");
    let cow: Cow<'_, OsStr> = Cow::Borrowed(OsStr::new("d"));
    let output = Command::new(Path::new("/bin/sh"))
        .args(["-c", "echo $ONE$TWO${THREE-} $0 $*"])
        .args(vec![String::from("a")])
        .args(&[PathBuf::from("b")])
        .arg(&owned)
        .arg(&cow)
        .arg(cow.clone())
        .args([Cow::Borrowed(OsStr::new("e"))])
        .envs(&map)
        .envs([("TWO", "2")])
        .envs(std::env::vars_os().filter(|(name, _)| name == "NO SUCH VARIABLE"))
        .env("THREE", "3")
        .env_remove("THREE")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"12 a b c d d e\n");
    let cleared = Command::new("/usr/bin/env").env_clear().output().unwrap();
    assert!(cleared.stdout.is_empty());
    let zeroth = Command::new("sh").arg0("x").args(["-c", "echo $0"]).output();
    assert_eq!(zeroth.unwrap().stdout, b"x\n");
}

#[test]
fn descriptors_come_from_stds_types() {
    let status = Command::new("true")
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .stderr(io::stdout())
        .status();
    assert!(status.unwrap().success());
    let status = Command::new("true")
        .stdin(File::open("/dev/null").unwrap())
        .stdout(Stdio::inherit())
        .stderr(Stdio::from(File::create("/dev/null").unwrap()))
        .status();
    assert!(status.unwrap().success());

    let (mut reader, writer) = io::pipe().unwrap();
    let other = writer.try_clone().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2"]);
    command.stdout(writer).stderr(other);
    let mut child = command.spawn().unwrap();
    // It holds the writing ends.
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "out\nerr\n");
    assert!(child.wait().unwrap().success());

    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"from a pipe").unwrap();
    drop(writer);
    let output = Command::new("cat").stdin(reader).output().unwrap();
    assert_eq!(output.stdout, b"from a pipe");
}

#[test]
fn a_pipe_of_a_child_is_a_descriptor() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.as_ref().unwrap(), "shared").unwrap();
    let stdin: process::ChildStdin = child.stdin.take().unwrap();
    assert_eq!(stdin.as_fd().as_raw_fd(), stdin.as_raw_fd());
    drop(OwnedFd::from(stdin));
    let stdout: process::ChildStdout = child.stdout.take().unwrap();
    let mut stdout = process::ChildStdout::from(OwnedFd::from(stdout));
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "shared\n");
    let none: Option<process::ChildStderr> = child.stderr.take();
    assert!(none.is_none());
    child.wait().unwrap();
}

#[test]
fn a_command_is_run_again() {
    let mut list = Command::new("sh");
    list.args(["-c", "pwd"]);
    for directory in ["/", "/proc"] {
        let output = list.current_dir(directory).output().unwrap();
        assert_eq!(output.stdout.trim_ascii_end(), directory.as_bytes());
    }
    assert_eq!(list.get_args().len(), 2);
    assert_eq!(list.get_program().to_string_lossy(), "sh");
    assert_eq!(list.get_envs().count(), 0);
    assert!(list.get_current_dir().is_some());
    assert_eq!(format!("{:?}", Command::new("ls")).trim_matches('"'), "ls");
}

#[test]
#[allow(clippy::useless_conversion, reason = "std's error is one already")]
fn attributes_of_unix_are_methods() {
    // SAFETY: have no failure.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut command = Command::new("sh");
    command
        .args(["-c", "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && id -u"])
        .uid(uid)
        .gid(gid)
        .process_group(0);
    let output = command.output().unwrap();
    assert_eq!(output.stdout, format!("{uid}\n").as_bytes());
    let error = Command::new("/no/such/program").exec();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
}

/// What std's page of each type has, but for the compiler's own traits.
#[test]
fn types_implement_what_stds_do() {
    fn send_and_sync<T: Send + Sync + Debug + Unpin>() {}
    fn status<T: Copy + Eq + Debug + Default + std::fmt::Display>() {}
    fn output<T: Clone + Eq + Debug>() {}
    fn descriptor<T: AsFd + AsRawFd + From<OwnedFd> + Into<OwnedFd> + Into<Stdio>>() {}
    fn code<T: Copy + Default + PartialEq + Debug + From<u8> + process::Termination>() {}
    send_and_sync::<Child>();
    send_and_sync::<Command>();
    send_and_sync::<Stdio>();
    send_and_sync::<Output>();
    status::<process::ExitStatus>();
    output::<Output>();
    descriptor::<process::ChildStdin>();
    descriptor::<process::ChildStdout>();
    descriptor::<process::ChildStderr>();
    send_and_sync::<process::ChildStdout>();
    code::<ExitCode>();
    let _: [fn(i32) -> !; 1] = [process::exit];
    let _: [fn() -> !; 1] = [process::abort];
    assert_eq!(process::id(), std::process::id());
}
