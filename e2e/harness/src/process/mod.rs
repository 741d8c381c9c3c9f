//! Child processes: the one way in which the harness runs an external command.
//!
//! Every command gets a log file of its own (command line, output as it came, exit status), a
//! timeout, and a process group that is killed when the future that waits for it is dropped. A
//! failure carries the end of that log, so that the terminal shows what matters.

mod cmd;
mod ended;
mod error;
mod log_dir;
mod process_group;

pub use self::cmd::{Cmd, DEFAULT_TIMEOUT, Output};
pub use self::ended::Ended;
pub use self::error::{Cause, CommandError};
pub use self::log_dir::LogDir;
pub use self::process_group::kill_all;
