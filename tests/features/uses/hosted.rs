//! What the feature `hosted` adds.

use rawthread::{Error, Host, Support};

pub fn support() -> Result<Support, Error> {
    let host: &'static Host = rawthread::host()?;
    Ok(host.support())
}
