//! See for yourself what makes a thread, and what makes a process.
//!
//! Every command makes real tasks and shows what the kernel says about them.
#![allow(unsafe_code, reason = "the default action of SIGPIPE")]

#[macro_use]
mod output;

mod ask;
mod bench;
mod cli;
mod clone_spec;
mod explain;
mod explore;
mod help;
mod json;
mod myths;
mod preset_names;
mod probe;
mod style;
mod subprocess;
mod syscall;
mod tour;
mod trace;

use std::process::ExitCode;

use cli::{Arguments, UsageError, Word};

fn main() -> ExitCode {
    // As every tool of the shell: a closed pipe ends the lab.
    // SAFETY: the default action is no function.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let arguments: Vec<Word> = std::env::args_os().skip(1).map(Word::from).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(UsageError(line)) => {
            output::complain(&line);
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[Word]) -> Result<ExitCode, UsageError> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.text.as_str(), rest),
        None => ("tour", arguments),
    };
    if command == probe::child::EXEC_EXIT {
        return Ok(ExitCode::from(probe::child::EXEC_STATUS as u8));
    }
    if command == ask::EXEC_REPORT {
        ask::exec_report(rest.first().map(|word| word.text.as_str()));
        return Ok(ExitCode::SUCCESS);
    }
    let wants_help = |word: &Word| word.text == "--help" || word.text == "-h";
    match command {
        "help" | "--help" | "-h" => return give_help(rest),
        "--version" | "-V" => {
            println!("lab {}", env!("CARGO_PKG_VERSION"));
            return Ok(ExitCode::SUCCESS);
        }
        _ if rest.first().is_some_and(wants_help) => return give_help(&arguments[..1]),
        _ => {}
    }
    match command {
        "tour" => tour::run(Arguments::new("tour", rest)),
        "explain" => explain::run(Arguments::new("explain", rest)),
        "probe" => probe::command::run(Arguments::new("probe", rest)),
        "ask" => ask::run(Arguments::new("ask", rest)),
        "myths" => myths::run(Arguments::new("myths", rest)),
        "trace" => trace::run(Arguments::new("trace", rest)),
        "explore" => explore::run(Arguments::new("explore", rest)),
        "bench" => bench::run(Arguments::new("bench", rest)),
        // `lab --json` is `lab tour --json`.
        option if option.starts_with('-') => tour::run(Arguments::new("tour", arguments)),
        unknown => Err(no_such(unknown)),
    }
}

fn no_such(command: &str) -> UsageError {
    let names: Vec<_> = help::COMMANDS.iter().map(|help| help.name).collect();
    UsageError(format!(
        "there is no command \"{command}\": there are {} and help",
        names.join(", ")
    ))
}

fn give_help(arguments: &[Word]) -> Result<ExitCode, UsageError> {
    match arguments.first() {
        None => print!("{}", help::overview()),
        Some(Word { text, .. }) => {
            print!("{}", help::page(text).ok_or_else(|| no_such(text))?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
