//! What stands at the end of each object's chains, for all objects at once.
//!
//! Objects that hold each other share their ends, so the work is done once per
//! strongly connected component, holders first (Tarjan's order).

use crate::graph::{Graph, To};
use crate::identity::EndKind;
use rustc_hash::FxHashSet;
use std::ops::BitOr;
use std::rc::Rc;

/// What is true of an object, or of anything on its chains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A chain ends in a process.
    pub const PROCESS: Self = Self(1);
    /// A chain ends in a pin.
    pub const PIN: Self = Self(2);
    /// Something is attached.
    pub const ATTACHED: Self = Self(4);
    /// Not every holder is known: a remainder, a count that was not read, a
    /// holder that was not shown.
    pub const DARK: Self = Self(8);
    /// A chain ends in objects that hold each other and are held by nothing else.
    pub const CYCLE: Self = Self(16);
    /// A chain ends in the kernel itself: BTF of its own, an attachment, a socket that
    /// nobody has open, a module.
    pub const KERNEL: Self = Self(32);

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One thing that keeps an object: the first grip of an end on some object (an index into
/// [`Graph::grips`]), or the index of an object that ends a chain itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    Grip(usize),
    Object(usize),
}

impl Keeper {
    /// By end, so that what is held by the same end lies together.
    fn order(self, graph: &Graph) -> (usize, usize) {
        match self {
            Self::Grip(grip) => (graph.grips[grip].end, grip),
            Self::Object(object) => (graph.ends.len() + object, 0),
        }
    }
}

/// The keepers of one component, in the order of ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keepers {
    pub list: Rc<[Keeper]>,
    /// There are more than are listed.
    pub cut: bool,
}

/// How many keepers are carried along the chains of one component, and, once
/// the total is used up, of each further one: 5,000 processes that share
/// 10,000 maps would otherwise fill the memory.
const KEEPERS: usize = 4096;
const KEEPERS_SPARSE: usize = 64;
const KEEPERS_TOTAL: usize = 1 << 20;

/// One component: an object, or several that hold each other.
#[derive(Debug)]
struct Component {
    /// Of its objects and of everything on their chains.
    flags: Flags,
    /// Its objects hold each other, and nothing else holds them.
    rootless: bool,
}

/// The components, and what is true of them.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    component: Vec<usize>,
    components: Vec<Component>,
}

impl Reach {
    pub fn flags(&self, object: usize) -> Flags {
        self.components[self.component[object]].flags
    }

    /// The object is in a cycle that nothing else holds.
    pub fn is_rootless(&self, object: usize) -> bool {
        self.components[self.component[object]].rootless
    }

    pub fn same_component(&self, a: usize, b: usize) -> bool {
        self.component[a] == self.component[b]
    }

    /// `own` are the flags of each object alone. Returns for each component its
    /// flags, and for each object what keeps it.
    pub fn build(graph: &Graph, own: &[Flags]) -> (Self, Vec<Keepers>) {
        let mut build = Build {
            graph,
            own,
            reach: Self {
                component: vec![usize::MAX; graph.len()],
                components: Vec::new(),
            },
            keepers: Vec::new(),
            passed_on: Vec::new(),
            carried: 0,
        };
        components(graph, |members| build.add(members));
        let keepers = &build.keepers;
        let of_object = |&c: &usize| keepers.get(c).cloned().unwrap_or_default();
        let keepers = build.reach.component.iter().map(of_object).collect();
        (build.reach, keepers)
    }
}

struct Build<'a> {
    graph: &'a Graph,
    own: &'a [Flags],
    reach: Reach,
    /// Per component: what keeps its objects.
    keepers: Vec<Keepers>,
    /// Per component: what keeps the objects that it holds. Differs where the
    /// component is an end itself.
    passed_on: Vec<Keepers>,
    carried: usize,
}

impl Build<'_> {
    fn add(&mut self, members: &[usize]) {
        let graph = self.graph;
        let this = self.reach.components.len();
        for &member in members {
            self.reach.component[member] = this;
        }
        let mut flags = Flags::default();
        let mut found = Found::new(graph, self.limit());
        let mut sources = FxHashSet::default();
        let mut cyclic = false;
        for &member in members {
            flags = flags | self.own[member];
            let mut last = None;
            for grip in graph.grips_on(member) {
                let end = graph.grips[grip].end;
                if last.replace(end) != Some(end) {
                    flags = flags | end_flag(graph, end);
                    found.push(Keeper::Grip(grip));
                }
            }
            for holder in graph.holders_of(member) {
                let component = self.reach.component[holder];
                cyclic |= component == this;
                if component != this && sources.insert(component) {
                    flags = flags | self.reach.components[component].flags;
                    found.extend(&self.passed_on[component]);
                }
            }
        }
        let is_end = found.list.is_empty();
        let rootless = is_end && cyclic;
        if rootless {
            flags = flags | Flags::CYCLE;
        }
        let keepers = match found.finish(&self.passed_on, &sources) {
            Shared::One(source) => self.passed_on[source].clone(),
            Shared::No(keepers) => {
                self.carried += keepers.list.len();
                keepers
            }
        };
        let passed_on = if is_end {
            let mut itself = Found::new(graph, self.limit());
            for &member in members {
                itself.push(Keeper::Object(member));
            }
            itself.sorted()
        } else {
            keepers.clone()
        };
        let own = if rootless { passed_on.clone() } else { keepers };
        self.keepers.push(own);
        self.passed_on.push(passed_on);
        self.reach.components.push(Component { flags, rootless });
    }

    fn limit(&self) -> usize {
        if self.carried < KEEPERS_TOTAL {
            KEEPERS
        } else {
            KEEPERS_SPARSE
        }
    }
}

fn end_flag(graph: &Graph, end: usize) -> Flags {
    match graph.ends[end].kind {
        EndKind::Process => Flags::PROCESS,
        EndKind::Pin => Flags::PIN,
        EndKind::Lost => Flags::DARK,
        EndKind::Kernel => Flags::KERNEL,
    }
}

/// Keepers being gathered: the first `limit` in the order of ends.
struct Found<'a> {
    graph: &'a Graph,
    limit: usize,
    list: Vec<Keeper>,
    cut: bool,
    /// Something was pushed that no source passed on.
    direct: bool,
}

enum Shared {
    /// Exactly what this one source passed on.
    One(usize),
    No(Keepers),
}

impl<'a> Found<'a> {
    fn new(graph: &'a Graph, limit: usize) -> Self {
        Self {
            graph,
            limit,
            list: Vec::new(),
            cut: false,
            direct: false,
        }
    }

    fn push(&mut self, keeper: Keeper) {
        self.direct = true;
        self.list.push(keeper);
        self.bound();
    }

    fn extend(&mut self, keepers: &Keepers) {
        self.cut |= keepers.cut;
        self.list.extend_from_slice(&keepers.list);
        self.bound();
    }

    fn bound(&mut self) {
        if self.list.len() >= 4 * self.limit {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let graph = self.graph;
        self.list.sort_unstable_by_key(|k| k.order(graph));
        self.list.dedup();
        self.cut |= self.list.len() > self.limit;
        self.list.truncate(self.limit);
    }

    fn sorted(mut self) -> Keepers {
        self.shorten();
        Keepers {
            list: self.list.into(),
            cut: self.cut,
        }
    }

    fn finish(self, passed_on: &[Keepers], sources: &FxHashSet<usize>) -> Shared {
        let mut sources = sources.iter();
        match (self.direct, sources.next(), sources.next()) {
            (false, Some(&one), None) if passed_on[one].list.len() <= self.limit => {
                Shared::One(one)
            }
            _ => Shared::No(self.sorted()),
        }
    }
}

/// Calls `emit` with the strongly connected components of "is held by", each
/// after all that hold it. Tarjan's algorithm with a stack of its own.
fn components(graph: &Graph, mut emit: impl FnMut(&[usize])) {
    const NEW: usize = usize::MAX;
    let count = graph.len();
    let mut number = vec![NEW; count];
    let mut low = vec![0; count];
    let mut open = vec![false; count];
    let mut stack = Vec::new();
    let mut next = 0;
    // Objects under way, each with how far its holders were looked at.
    let mut way: Vec<(usize, usize)> = Vec::new();
    for root in 0..count {
        if number[root] != NEW {
            continue;
        }
        way.push((root, 0));
        while let Some(top) = way.last_mut() {
            let (object, at) = *top;
            if at == 0 && number[object] == NEW {
                number[object] = next;
                low[object] = next;
                next += 1;
                open[object] = true;
                stack.push(object);
            }
            if let Some(&to) = graph.holds_on(object).get(at) {
                top.1 += 1;
                if let To::Object(holder) = to {
                    if number[holder] == NEW {
                        way.push((holder, 0));
                    } else if open[holder] {
                        low[object] = low[object].min(number[holder]);
                    }
                }
                continue;
            }
            way.pop();
            if let Some(&(below, _)) = way.last() {
                low[below] = low[below].min(low[object]);
            }
            if low[object] == number[object] {
                let first = stack.iter().rposition(|&o| o == object).unwrap_or(0);
                for &member in &stack[first..] {
                    open[member] = false;
                }
                emit(&stack[first..]);
                stack.truncate(first);
            }
        }
    }
}
