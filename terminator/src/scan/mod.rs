//! Finds the termination word in a log, as a whole word.
//!
//! Lines may have any length, the bytes may be of any kind, and the log may be cut into chunks anywhere. The
//! memory is constant.

#[cfg(any(test, fuzzing))]
pub mod reference;
mod scanner;

pub use scanner::Scanner;
