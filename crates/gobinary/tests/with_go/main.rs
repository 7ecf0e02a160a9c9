//! Programs that the machine's Go builds, in files and alive.

mod common;
mod executable;
mod functions;
mod hostile;
mod plugins;
mod types;
