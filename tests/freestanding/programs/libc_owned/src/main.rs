//! A libc owns this process's thread pointer: spawn must refuse, and nothing else may break.

fn main() {
    let error = rawthread::Builder::new().try_spawn(|| 1).unwrap_err();
    assert_eq!(error.kind(), rawthread::ErrorKind::Unsupported);
    assert_eq!(rawthread::current().name(), Some("main"));
    println!("{error}");
    std::thread::spawn(|| println!("std's threads work"))
        .join()
        .unwrap();
}
