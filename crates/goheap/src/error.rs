//! Why a runtime could not be read.

/// Why a process's Go runtime could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its executable or modules could not be read.
    #[error(transparent)]
    Binary(#[from] gobinary::Error),
    /// Its memory could not be read.
    #[error(transparent)]
    Read(#[from] gobinary::ReadError),
    /// Built with a release whose structs are not known.
    #[error("{0} is not supported: known are Go 1.18 to 1.{1}")]
    Release(String, u16),
    /// Built with an experiment of Go that has other rules.
    #[error(
        "{0} is not supported: with {1}, memory is used again before a collection has judged it"
    )]
    Experiment(String, &'static str),
    /// Where the process has its executable could not be told.
    #[error("the executable is not mapped where it should be")]
    NotMapped,
    /// Something of the runtime was not found, or was not as it has to be.
    #[error("{0} was not found in the runtime")]
    NotFound(&'static str),
    /// The layout of its release lacks something.
    #[error("the layout of its release lacks {0}")]
    Layout(&'static str),
    /// More than we are willing to read.
    #[error("too much to read: {0}")]
    TooMuch(&'static str),
}
