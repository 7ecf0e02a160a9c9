//! Descriptors: every `struct file` on a BPF object that stands in a descriptor table.
//!
//! One `struct file` is one reference, however many descriptors share it (dup,
//! fork, `SCM_RIGHTS`, `pidfd_getfd`). Nearly all files have one descriptor only;
//! the walk sees that in the file's own count, and these are not looked up again.

mod tables;
mod who;

use crate::error::Error;
use crate::rows::{Addr, Row, Rows, types};
use crate::walks::{Walk, Walks};
use rustc_hash::FxHashMap;

pub(crate) use tables::Tables;
pub use who::Who;

/// A descriptor table, of one process or more (`CLONE_FILES`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The process, in our pid namespace; 0 if it is not visible there.
    pub pid: u32,
    /// The thread, if the table is its own and not the main thread's.
    pub tid: Option<u32>,
    /// Other processes with the very same table (`clone(CLONE_FILES)`).
    pub also: Vec<u32>,
    /// Files that nobody else has: per object, their descriptors.
    pub unshared: Vec<(Addr, Vec<u32>)>,
}

impl Table {
    /// All processes that have it.
    pub fn sharers(&self) -> impl Iterator<Item = u32> + '_ {
        self.also.iter().copied().chain([self.pid])
    }
}

/// A file that something else has too: another descriptor, a mapping, a message in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// The object it is on.
    pub object: Addr,
    /// Where it stands: index of the table, and descriptor.
    pub at: Vec<(u32, u32)>,
    /// Its own references: of these places, of mappings, of messages in flight, of rings, and of
    /// calls that use it at the moment (`fdget` in a process with threads).
    pub refs: u64,
}

impl SharedFile {
    /// Something that is no descriptor had it when the walk came by.
    pub fn is_elsewhere(&self) -> bool {
        self.refs > self.at.len() as u64
    }
}

/// An open iterator file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IterFile {
    /// The program it runs.
    pub prog: Addr,
    /// The map it walks, if a map has this address.
    pub map: Option<Addr>,
    /// Where it stands: index of the table, and descriptor.
    pub at: Vec<(u32, u32)>,
}

/// All descriptors on BPF objects.
#[derive(Debug, Default)]
pub struct Files {
    /// Tables that have any.
    pub tables: Vec<Table>,
    /// The processes that have these, by pid.
    pub who: FxHashMap<u32, Who>,
    /// Keyed by the file.
    pub shared: FxHashMap<Addr, SharedFile>,
    /// Keyed by the file.
    pub iters: FxHashMap<Addr, IterFile>,
    /// BTF that a descriptor leads to.
    pub btfs: Vec<crate::objects::Btf>,
}

impl Walks {
    /// Walks all descriptor tables of the pid namespace.
    pub fn files(&mut self) -> Result<Files, Error> {
        let mut reader = Reader::default();
        self.run(Walk::Files, |rows| reader.read(rows))?;
        Ok(reader.files)
    }
}

#[derive(Default)]
struct Reader {
    files: Files,
    tables: Tables,
    /// Where in that table the descriptors on an object are gathered.
    places: FxHashMap<Addr, usize>,
    /// The place of the row before: the next is often on the same object.
    last: Option<(Addr, usize)>,
}

impl Reader {
    fn read(&mut self, rows: Rows<'_>) {
        for row in rows {
            const MAP: u16 = types::row_kind::ROW_MAP_FILE.0 as u16;
            const PROG: u16 = types::row_kind::ROW_PROG_FILE.0 as u16;
            const LINK: u16 = types::row_kind::ROW_LINK_FILE.0 as u16;
            const BTF: u16 = types::row_kind::ROW_BTF_FILE.0 as u16;
            const ITER: u16 = types::row_kind::ROW_ITER_FILE.0 as u16;
            const TASK: u16 = types::row_kind::ROW_TASK.0 as u16;
            const BTF_INFO: u16 = types::row_kind::ROW_BTF.0 as u16;
            match row.head.kind {
                MAP | PROG | LINK | BTF => self.file(&row),
                ITER => self.iter_file(&row),
                TASK => self.task(&row.as_type()),
                BTF_INFO => self
                    .files
                    .btfs
                    .push(crate::objects::Btf::from_row(&row.as_type())),
                _ => {}
            }
        }
    }

    #[inline]
    fn file(&mut self, row: &Row<'_>) {
        let Some(now) = self.tables.now() else {
            return;
        };
        let file: types::row_file = row.as_type();
        let object = Addr(file.object);
        let fd = file.row.n;
        if file.file != 0 {
            let shared = self.files.shared.entry(Addr(file.file));
            let shared = shared.or_insert_with(|| SharedFile {
                object,
                at: Vec::with_capacity(1),
                refs: 0,
            });
            shared.at.push((now, fd));
            shared.refs = file.refs;
            return;
        }
        let place = match self.last {
            Some((same, place)) if same == object => place,
            _ => self.place(now, object),
        };
        self.files.tables[now as usize].unshared[place].1.push(fd);
    }

    /// Where the descriptors of this table on an object are gathered.
    fn place(&mut self, now: u32, object: Addr) -> usize {
        let lists = &mut self.files.tables[now as usize].unshared;
        let place = *self.places.entry(object).or_insert_with(|| {
            lists.push((object, Vec::new()));
            lists.len() - 1
        });
        self.last = Some((object, place));
        place
    }

    fn iter_file(&mut self, row: &Row<'_>) {
        let Some(now) = self.tables.now() else {
            return;
        };
        let file: types::row_iter_file = row.as_type();
        self.files
            .iters
            .entry(Addr(file.file))
            .or_insert_with(|| IterFile {
                prog: Addr(file.prog),
                map: Addr::new(file.map),
                at: Vec::new(),
            })
            .at
            .push((now, file.row.n));
    }

    fn task(&mut self, task: &types::row_task) {
        self.places.clear();
        self.last = None;
        self.tables.task(task, &mut self.files.tables);
        if task.row.n != 0 {
            let who = Who::from_row(&task.who);
            self.files.who.insert(task.row.n, who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Copy>(value: &T, length: usize) -> Vec<u8> {
        // SAFETY: the rows are structs of integers without padding.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), length) }
            .to_vec()
    }

    fn task(pid: u32, tid: u32, files: u64) -> Vec<u8> {
        shared_task(pid, tid, files, false)
    }

    fn shared_task(pid: u32, tid: u32, files: u64, shared: bool) -> Vec<u8> {
        let mut row = types::row_task {
            files,
            tid,
            shared: u8::from(shared),
            ..Default::default()
        };
        row.row = types::row {
            kind: types::row_kind::ROW_TASK.0 as u16,
            size: size_of_val(&row) as u16,
            n: pid,
        };
        bytes(&row, size_of_val(&row))
    }

    fn file(fd: u32, object: u64, file: u64) -> Vec<u8> {
        let size = if file == 0 { 16 } else { 32 };
        let mut row = types::row_file {
            object,
            file,
            refs: 2,
            ..Default::default()
        };
        row.row = types::row {
            kind: types::row_kind::ROW_MAP_FILE.0 as u16,
            size,
            n: fd,
        };
        bytes(&row, size as usize)
    }

    fn read(rows: &[Vec<u8>]) -> Files {
        let mut reader = Reader::default();
        reader.read(Rows(&rows.concat()));
        reader.files
    }

    #[test]
    fn descriptors_are_gathered_by_object_also_when_objects_alternate() {
        let files = read(&[
            task(7, 7, 1),
            file(3, 100, 0),
            file(4, 200, 0),
            file(5, 100, 0),
        ]);
        assert_eq!(
            files.tables[0].unshared,
            [(Addr(100), vec![3, 5]), (Addr(200), vec![4])]
        );
    }

    #[test]
    fn a_shared_file_is_one_with_two_places() {
        let first = [task(7, 7, 1), file(3, 100, 9)];
        assert!(read(&first).shared[&Addr(9)].is_elsewhere());
        let files = read(&[&first[..], &[task(8, 8, 2), file(5, 100, 9)]].concat());
        let shared = &files.shared[&Addr(9)];
        assert_eq!(shared.at, [(0, 3), (1, 5)]);
        assert!(!shared.is_elsewhere());
    }

    #[test]
    fn a_table_seen_twice_counts_once() {
        // Two threads behind a dead main thread, then a process made with CLONE_FILES.
        let files = read(&[
            shared_task(7, 8, 1, true),
            file(3, 100, 0),
            shared_task(7, 9, 1, true),
            file(3, 100, 0),
            shared_task(20, 20, 1, true),
            file(3, 100, 0),
        ]);
        assert_eq!(files.tables.len(), 1);
        assert_eq!(files.tables[0].unshared, [(Addr(100), vec![3])]);
        assert_eq!(files.tables[0].also, [20]);
    }

    #[test]
    fn an_address_used_again_is_another_table() {
        // The first process exits, and the kernel gives its table's memory to the next.
        let files = read(&[
            task(7, 7, 1),
            file(3, 100, 0),
            task(8, 8, 1),
            file(4, 100, 0),
        ]);
        assert_eq!(files.tables.len(), 2);
        assert_eq!(files.tables[1].unshared, [(Addr(100), vec![4])]);
        assert!(files.tables.iter().all(|t| t.also.is_empty()));
    }
}
