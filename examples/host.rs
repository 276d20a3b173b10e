//! Prints which libc hosts this process and how well rawthreads fit into it; docs/libcs.md explains
//! the answer.

fn main() -> Result<(), rawthread::Error> {
    println!("{}", rawthread::host()?);
    Ok(())
}
