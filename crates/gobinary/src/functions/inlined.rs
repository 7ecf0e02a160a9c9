//! What was inlined at a pc (`runtime/symtabinl.go`).

use super::func::{FuncData, PcData};
use super::{Format, Frame, Function, FunctionTable, STEPS, printed};
use crate::bytes::read_u32;
use crate::error::Error;
use crate::memory::Memory;

/// Calls inlined into each other at most. The compiler stops far below.
const DEPTH: usize = 128;

impl<M: Memory> FunctionTable<M> {
    /// The frames at a pc of the function, the innermost first.
    pub(super) fn inlined_frames(&self, function: &Function, pc: u64) -> Result<Vec<Frame>, Error> {
        let (mut frames, mut steps) = (Vec::new(), STEPS);
        let mut pc = pc;
        let tree = self.funcdata(function, FuncData::InlTree);
        while let Some(tree) = tree {
            // Which inlined call the pc is in: its number in the tree, or -1.
            let index = self.pcdata_within(function, PcData::InlTreeIndex, pc, &mut steps)?;
            let Some(index) = index.and_then(|i| u32::try_from(i).ok()) else {
                break;
            };
            if frames.len() >= DEPTH {
                return Err(Error::TooMuch {
                    what: "calls inlined into each other",
                    limit: DEPTH as u64,
                });
            }
            let (name, parent_pc) = self.inlined_call(tree, index)?;
            let (file, line) = self.file_line(function, pc, &mut steps)?;
            frames.push(Frame {
                function: printed(&self.name(name)?),
                file,
                line,
                inlined: true,
            });
            // An instruction whose line is that of the call.
            pc = function.entry.wrapping_add(parent_pc.into());
        }
        let (file, line) = self.file_line(function, pc, &mut steps)?;
        frames.push(Frame {
            function: printed(&function.name),
            file,
            line,
            inlined: false,
        });
        Ok(frames)
    }

    /// An entry of a tree (`runtime.inlinedCall`): offset of the name, and of the call from the function's entry.
    fn inlined_call(&self, tree: u64, index: u32) -> Result<(u32, u32), Error> {
        // Up to 1.19: parent, funcID, file, line, func, parentPc; then funcID, nameOff, parentPc, startLine.
        let (size, name, parent_pc) = match self.format {
            Format::Go116 | Format::Go118 => (20, 12, 16),
            Format::Go120 => (16, 4, 8),
        };
        let addr = tree.wrapping_add(u64::from(index) * size);
        Ok((
            read_u32(&self.memory, addr.wrapping_add(name))?,
            read_u32(&self.memory, addr.wrapping_add(parent_pc))?,
        ))
    }
}
