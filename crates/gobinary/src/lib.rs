//! A Go executable: build info, function table, types, layouts of the runtime's structs. Bytes in.

mod build_info;
mod bytes;
mod error;
mod executable;
mod functions;
pub mod layout;
mod memory;
mod modules;
mod source;
mod types;

pub use build_info::{BuildInfo, Dependency, MainModule};
pub use error::Error;
pub use executable::{Arch, Executable, Segment};
pub use functions::{Format, Frame, FuncData, Function, FunctionTable, Header, PcData};
pub use layout::{Field, Layout, Layouts};
pub use memory::{Memory, Piece, ReadError, Region};
pub use modules::{Module, Slice, Span, find as find_modules};
pub use source::Source;
pub use types::{Field as TypeField, Kind, Type, Types};
