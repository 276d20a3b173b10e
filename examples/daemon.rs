//! A daemon: a program in a session of its own, so that no terminal's end reaches it, without the caller's
//! descriptors, directory, umask and signal mask; and with a listening socket, which it finds as a service of
//! systemd's does (sd_listen_fds(3)): as descriptor 3, if LISTEN_PID is its own process id.
//! cargo run --example daemon -- 127.0.0.1:0 sh -c 'readlink /proc/$$/fd/3 >/tmp/daemon; exec sleep 60'

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rawthread::SignalSet;
use rawthread::process::{BeforeExec, Command, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(program)) = (words.next(), words.next()) else {
        return Err("usage: daemon ADDRESS PROGRAM [ARGUMENT ...]".into());
    };
    let socket = TcpListener::bind(address)?;
    let address = socket.local_addr()?;
    let service = daemon(&program, socket).args(words).spawn()?;
    println!("{} listens on {address}", service.pid());
    // This process ends, and the service's parent is process 1, which reaps it.
    Ok(())
}

/// The command that runs `program` as a daemon that listens on `socket`. If `spawn` returns, the program runs.
pub(crate) fn daemon(program: &str, socket: impl Into<OwnedFd>) -> Command {
    let mut command = Command::new(program);
    command
        .new_session()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .descriptor(3, socket.into())
        .close_others()
        .env("LISTEN_FDS", "1")
        .env_pid("LISTEN_PID")
        .env_remove("LISTEN_FDNAMES")
        .signal_mask(SignalSet::empty())
        .before_exec(BeforeExec::umask(0o022));
    command
}
