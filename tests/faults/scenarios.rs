//! What programs do with the crate, each step of which may fail and then says so by its error.

use std::time::{Duration, Instant};

use rawthread::{Builder, CpuSet, Error, JoinSet, Policy, SignalSet};

/// A scenario: an error of the crate, or all of it done. A wrong result panics.
pub(crate) type Scenario = fn() -> Result<(), Error>;

pub(crate) const ALL: [(&str, Scenario); 17] = [
    ("plain", plain),
    ("detached", detached),
    ("stacks", stacks),
    ("attributes", attributes),
    ("own tables", own_tables),
    ("before_start", before_start),
    ("scope", scope),
    ("set", set),
    ("timed joins", timed_joins),
    ("warm", warm),
    ("reserve and trim", reserve_and_trim),
    ("process", process),
    ("own stack", own_stack),
    ("inspect", inspect),
    ("warm scope", warm_scope),
    ("closures", closures),
    ("output", output),
];

pub(crate) fn plain() -> Result<(), Error> {
    for _ in 0..2 {
        let thread = Builder::new().spawn(|| vec![7_u8; 5000].len())?;
        assert_eq!(thread.join().unwrap(), 5000);
    }
    Ok(())
}

fn detached() -> Result<(), Error> {
    let (send, receive) = std::sync::mpsc::channel();
    drop(Builder::new().spawn(move || send.send(3).unwrap())?);
    assert_eq!(receive.recv(), Ok(3));
    Ok(())
}

fn stacks() -> Result<(), Error> {
    let large = Builder::new()
        .name("large".into())
        .stack_size(3 << 20)
        .spawn(|| 1)?;
    let small = Builder::new().stack_size(0).guard_size(1 << 16).spawn(|| 2);
    assert_eq!(large.join().unwrap(), 1);
    assert_eq!(small?.join().unwrap(), 2);
    Ok(())
}

fn attributes() -> Result<(), Error> {
    let thread = Builder::new()
        .name("attributes".into())
        .affinity(CpuSet::current()?)
        .scheduling(Policy::Batch { nice: 1 })
        .signal_mask(SignalSet::all())
        .spawn(|| 4)?;
    assert_eq!(thread.join().unwrap(), 4);
    Ok(())
}

fn own_tables() -> Result<(), Error> {
    let thread = Builder::new().private_cwd().spawn(|| 5)?;
    assert_eq!(thread.join().unwrap(), 5);
    Ok(())
}

fn before_start() -> Result<(), Error> {
    let thread = Builder::new()
        .before_start(|| Ok::<(), Error>(()))
        .spawn(|| 6)?;
    assert_eq!(thread.join().unwrap(), 6);
    let refused = Builder::new()
        .before_start(|| Err(Error::from_raw_os_error(libc::EXDEV)))
        .spawn(|| ());
    assert!(refused.is_err());
    Ok(())
}

fn scope() -> Result<(), Error> {
    let numbers = [1, 2, 3];
    rawthread::scope(|scope| {
        let first = Builder::new().spawn_scoped(scope, || numbers[0])?;
        let second = Builder::new().spawn_scoped(scope, || numbers[1] + numbers[2])?;
        assert_eq!(first.join().unwrap() + second.join().unwrap(), 6);
        Ok(())
    })
}

fn set() -> Result<(), Error> {
    let mut set = JoinSet::new();
    for number in 0..3 {
        set.spawn_with(Builder::new(), move || number)?;
    }
    let mut sum = 0;
    while let Some(result) = set.join_next() {
        sum += result.unwrap();
    }
    assert_eq!(sum, 3);
    Ok(())
}

pub(crate) fn timed_joins() -> Result<(), Error> {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = Builder::new().spawn(move || receive.recv().is_err())?;
    let start = Instant::now();
    let thread = match thread.join_timeout(Duration::from_millis(2)) {
        Err(thread) => thread,
        Ok(_) => panic!("joined a thread that had not ended"),
    };
    assert!(start.elapsed() >= Duration::from_millis(2));
    drop(send);
    assert!(thread.join().unwrap());
    Ok(())
}

fn warm() -> Result<(), Error> {
    for number in 0..2 {
        let task = rawthread::warm::try_spawn(move || number)?;
        assert_eq!(task.join().unwrap(), number);
    }
    Ok(())
}

fn reserve_and_trim() -> Result<(), Error> {
    let outcome = rawthread::reserve(2);
    rawthread::trim();
    outcome
}

fn process() -> Result<(), Error> {
    // The child's own calls may be refused, too, also after execve: any status is right.
    rawthread::process::Command::new("true").status().map(drop)
}

fn own_stack() -> Result<(), Error> {
    let mut memory = vec![0_u8; 64 << 10];
    // SAFETY: used for nothing else, and joined below.
    let builder = unsafe { Builder::new().stack(memory.as_mut_ptr(), memory.len()) };
    let thread = builder.spawn(|| 8)?;
    assert_eq!(thread.join().unwrap(), 8);
    Ok(())
}

fn inspect() -> Result<(), Error> {
    let thread = Builder::new()
        .name("inspected".into())
        .spawn(rawthread::park)?;
    let asked = (|| {
        thread.cpu_time()?;
        thread.affinity()?;
        thread.scheduling()?;
        thread.signal(rawthread::Signal::new(libc::SIGWINCH)?)?;
        drop(thread.open_pidfd()?);
        Ok(())
    })();
    assert!(rawthread::threads().count() >= 1);
    let mut report = String::new();
    rawthread::dump(&mut report).unwrap();
    assert!(report.contains("inspected"), "{report}");
    thread.thread().unpark();
    thread.join().unwrap();
    asked
}

fn warm_scope() -> Result<(), Error> {
    let numbers = [1, 2, 3];
    rawthread::warm::scope(|scope| {
        let task = rawthread::warm::Builder::new()
            .name("task".into())
            .try_spawn_scoped(scope, || numbers.iter().sum::<i32>())?;
        assert_eq!(task.join().unwrap(), 6);
        Ok(())
    })
}

fn closures() -> Result<(), Error> {
    use rawthread::flags::CloneFlags;
    use rawthread::process::{BeforeExec, Builder};

    for flags in [CloneFlags::empty(), CloneFlags::VM] {
        // SAFETY: the closure makes no call.
        let mut child = unsafe {
            Builder::new()
                .flags(flags)
                .before_start(BeforeExec::nice(1))
                .spawn(|| 3)
        }?;
        // What was refused in the child is its status.
        child.wait()?;
    }
    Ok(())
}

fn output() -> Result<(), Error> {
    let mut command = rawthread::process::Command::new("cat");
    command.stdin(rawthread::process::Stdio::bytes("text")?);
    command.output().map(drop)
}
