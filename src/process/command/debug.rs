//! A command as a shell would take it.

use core::fmt;

use super::builder::Command;
use super::shell_word::Quoted;

/// The line that would do the same in a shell, as far as directory, environment and arguments go;
/// the program's path in brackets where it is not the zeroth argument.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(directory) = &self.settings.directory {
            write!(f, "cd {} && ", Quoted(directory.to_bytes()))?;
        }
        self.environment.write_changes(f)?;
        if self.arguments.first() != Some(&self.program) {
            write!(f, "[{}] ", Quoted(self.program.to_bytes()))?;
        }
        for (index, argument) in self.arguments.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", Quoted(argument.to_bytes()))?;
        }
        Ok(())
    }
}
