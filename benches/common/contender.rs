//! What a contender does: spawn and join.

/// A way to make threads. A contender keeps its handles, so that contenders with different types of
/// handle are one trait object.
pub(crate) trait Contender {
    /// The name that is printed and given on the command line of a child process.
    fn name(&self) -> &'static str;
    /// Makes a thread that calls `work`.
    fn spawn(&mut self, work: fn());
    /// Joins the oldest thread that is not joined yet.
    fn join(&mut self);
}
