//! Why the steps may not be enough, and what else they do.

use super::action::{can_let_go, is_perf_event};
use super::needs::{Needs, Part};
use super::simulate::Simulation;
use super::words::{name, socket_name};
use crate::account::{Ledger, out_of_sight};
use crate::graph::To;
use crate::identity::EndKind;
use crate::users::{Emptied, hidden_users, is_program_array, is_user};
use crate::walks::can_be_mapped;
use model::{By, Detail, Facts, Holder, Kind, Object, escape_controls};

/// So many sentences of one sort are written out; the rest is counted.
const WRITTEN: usize = 8;

pub(super) fn caveats(
    ledger: &Ledger,
    target: usize,
    needs: &Needs,
    simulation: &Simulation<'_>,
) -> Vec<String> {
    let facts = ledger.facts(target);
    if facts.is_kernel_btf() {
        let name = name(facts);
        return vec![format!(
            "{name} belongs to the kernel, and stays as long as it does."
        )];
    }
    if ledger.objects()[target].explained == 0 && facts.refcnt == Some(0) {
        return vec![format!("{} is being freed already.", name(facts))];
    }
    let context = Context {
        ledger,
        needs,
        simulation,
    };
    let mut sentences = Vec::new();
    let blocks = context.blocks();
    if !simulation.is_freed(target) && blocks.is_empty() {
        few(&mut sentences, context.cycles(target), "more such cycles");
    }
    few(&mut sentences, blocks, "more such references");
    few(
        &mut sentences,
        context.detaches(),
        "more links detach likewise",
    );
    few(
        &mut sentences,
        context.empties(),
        "more maps are emptied likewise",
    );
    few(&mut sentences, context.mappings(), "more such maps");
    sentences
}

/// Takes over the first of `found`, and says how many there are beyond.
fn few(sentences: &mut Vec<String>, mut found: Vec<String>, rest: &str) {
    let beyond = found.len().saturating_sub(WRITTEN);
    found.truncate(WRITTEN);
    sentences.append(&mut found);
    if beyond > 0 {
        sentences.push(format!("And {beyond} {rest}."));
    }
}

struct Context<'a> {
    ledger: &'a Ledger,
    needs: &'a Needs,
    simulation: &'a Simulation<'a>,
}

impl<'a> Context<'a> {
    fn needed(&self) -> impl Iterator<Item = (usize, &'a Object)> {
        let objects = self.needs.objects().iter();
        objects.map(|&at| (at, &self.ledger.objects()[at]))
    }

    /// References on the chains that no step can drop.
    fn blocks(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (at, object) in self.needed() {
            let part = self.needs.part(at);
            let hidden = hidden_users(&object.facts);
            if part == Some(Part::All) || hidden {
                let remainder = Self::remainder(object);
                let map = name(&object.facts);
                let by_user = || format!("User space may hold {map} in ways that were not found.");
                sentences.extend(match part {
                    Some(Part::User) => Some(remainder.unwrap_or_else(by_user)),
                    _ => remainder,
                });
            }
            for reference in self.ledger.graph.refs_to(at) {
                let reference = &self.ledger.graph.refs[reference];
                if part == Some(Part::All) || is_user(reference.by) {
                    self.nameless(&object.facts, reference, &mut sentences);
                }
            }
        }
        sentences
    }

    /// What is not known of an account.
    fn remainder(object: &Object) -> Option<String> {
        let name = name(&object.facts);
        let Some(refcnt) = object.facts.refcnt else {
            return Some(if object.facts.is_kernel_btf() {
                format!("{name} belongs to the kernel, and stays.")
            } else {
                format!(
                    "The reference count of {name} could not be read, \
                     so it may have holders that are not listed."
                )
            });
        };
        if refcnt < object.explained {
            return Some(format!(
                "The account of {name} was still moving: look again."
            ));
        }
        let left = refcnt - object.explained;
        if left == 0 {
            return (refcnt == 0).then(|| format!("{name} is being freed already."));
        }
        let have = references(left);
        Some(match (out_of_sight(object), object.settled) {
            (Some(reason), _) => format!(
                "{have} to {name} may be held where lastref cannot look ({}).",
                escape_controls(reason)
            ),
            (None, true) => {
                let start = format!("{have} to {name} could not be explained, and may keep it.");
                match Ledger::candidates(object).as_slice() {
                    [] => start,
                    candidates => format!(
                        "{start} It could be what lastref cannot list: {}.",
                        candidates.join("; ")
                    ),
                }
            }
            (None, false) => {
                format!(
                    "{have} to {name} could not be explained while its count moved: look again."
                )
            }
        })
    }

    /// Holders that are not known well enough to say how they let go.
    fn nameless(&self, facts: &Facts, reference: &crate::graph::Ref, out: &mut Vec<String>) {
        let graph = &self.ledger.graph;
        let holds = &graph.holds[reference.holds.clone()];
        if holds.is_empty() && reference.count > 0 {
            let have = references(reference.count);
            out.push(format!("{have} to {} have no known holder.", name(facts)));
        }
        for &to in holds {
            let To::End(end) = to else { continue };
            let kind = graph.ends[end].kind;
            if matches!(kind, EndKind::Process | EndKind::Pin) {
                continue;
            }
            let holder = graph.end_holder(end, |o| self.ledger.facts(o), Vec::new());
            if !can_let_go(&holder) {
                out.extend(stays(&holder, facts, reference.by));
            }
        }
    }

    /// Nothing is left to drop, but objects hold each other.
    fn cycles(&self, target: usize) -> Vec<String> {
        let mut sentences = Vec::new();
        for (array, object) in self.needed() {
            if !is_program_array(&object.facts) || self.simulation.is_emptied(array) {
                continue;
            }
            let inside = |&&r: &&usize| {
                let reference = &self.ledger.graph.refs[r];
                reference.by == By::ProgArray
                    && self.ledger.reach.same_component(array, reference.object)
            };
            let Some(slot) = self.ledger.graph.refs_by(array).iter().find(inside) else {
                continue;
            };
            let prog = name(self.ledger.facts(self.ledger.graph.refs[*slot].object));
            let map = name(&object.facts);
            let id = object.facts.id.map_or("ID".into(), |id| id.to_string());
            sentences.push(format!(
                "{map} (a program array) and {prog} keep each other: clear its slots, for example \
                 with `bpftool map delete id {id} key …`. The kernel does that by itself when the \
                 last descriptor and pin of the array go."
            ));
        }
        if sentences.is_empty() {
            let target = name(self.ledger.facts(target));
            sentences.push(format!(
                "{target} is kept by objects that keep each other: these steps do not free it."
            ));
        }
        sentences
    }

    fn detaches(&self) -> Vec<String> {
        let on_chains = |at: usize| self.needs.part(at).is_some();
        let objects = self.ledger.objects().iter().enumerate();
        let links = objects.filter(|&(at, _)| on_chains(at) || self.simulation.is_freed(at));
        let sentence = |(_, link): (usize, &Object)| {
            let Detail::Link(detail) = &link.facts.detail else {
                return None;
            };
            if detail.detached {
                return None;
            }
            let what = match detail.prog_id {
                Some(prog) => format!("prog:{prog}"),
                None => "it".to_owned(),
            };
            let target = match &detail.target {
                Some(target) => escape_controls(target),
                None => "its target".to_owned(),
            };
            let link = name(&link.facts);
            Some(format!("Dropping {link} detaches {what} from {target}."))
        };
        links.filter_map(sentence).collect()
    }

    fn empties(&self) -> Vec<String> {
        let objects = self.ledger.objects().iter().enumerate();
        let emptied = objects
            .filter(|&(at, _)| self.simulation.is_emptied(at) && !self.simulation.is_freed(at));
        let sentence = |(at, map): (usize, &Object)| {
            let held = self.ledger.graph.refs_by(at).iter();
            let by = |&at: &usize| self.ledger.graph.refs[at].by;
            let emptied = held.map(by).find_map(|by| Emptied::of(&map.facts, by));
            let what = match emptied {
                None | Some(Emptied::Slots) => {
                    "empties this program array: tail calls through it fail from then on"
                }
                Some(Emptied::Timers) => "cancels the timers and work queues of its elements",
                Some(Emptied::SockmapPrograms) => {
                    "detaches this sockmap's own programs: sockets that are in it keep theirs"
                }
            };
            let map = name(&map.facts);
            format!("When the last descriptor and pin of {map} go, the kernel {what}.")
        };
        emptied.map(sentence).collect()
    }

    /// Closing a descriptor leaves a mapping of the same file.
    fn mappings(&self) -> Vec<String> {
        let mappable = |&(_, object): &(usize, &Object)| {
            object.facts.kind == Kind::Map
                && can_be_mapped(&object.facts)
                && object.facts.references.iter().any(|r| r.by == By::Fd)
        };
        let sentence = |(_, map): (usize, &Object)| {
            let map = name(&map.facts);
            format!(
                "A mapping of {map} outlasts its descriptors: whoever mapped it must unmap it too."
            )
        };
        self.needed().filter(mappable).map(sentence).collect()
    }
}

/// Why nothing can be done about this holder, which is not a process or a pin.
fn stays(holder: &Holder, held: &Facts, by: By) -> Option<String> {
    let object = name(held);
    Some(match holder {
        Holder::Map(o) | Holder::Prog(o) | Holder::Link(o) | Holder::Btf(o) => {
            let (kind, _) = holder.object()?;
            let holder = match o.id {
                Some(id) => format!("{kind}:{id}"),
                None => format!("A {kind} without an id"),
            };
            format!("{holder} holds {object}, but what holds it was not seen.")
        }
        Holder::Socket(socket) => format!(
            "{} holds {object}, but no process has it open: it may be in flight itself, or closed \
             and still draining.",
            capital(&socket_name(socket))
        ),
        Holder::IoUring(_) => format!(
            "An io_uring holds {object} among its fixed files, but no process in sight has it open."
        ),
        Holder::Attachment(a) if is_perf_event(a) => format!(
            "A perf event on {} runs {object}, but no process in sight has it open.",
            escape_controls(&a.target)
        ),
        Holder::Module { name } => format!(
            "Module {} holds {object} as long as it is loaded.",
            escape_controls(name)
        ),
        Holder::Kernel { what } => {
            let what = escape_controls(what);
            match held
                .id
                .filter(|_| by == By::StructOps && held.kind == Kind::Map)
            {
                Some(id) => format!(
                    "The kernel itself holds {object} ({what}) until \
                     `bpftool struct_ops unregister id {id}`."
                ),
                None => format!("The kernel itself holds {object} ({what})."),
            }
        }
        Holder::Process(_) | Holder::Pin(_) | Holder::Attachment(_) => return None,
    })
}

fn capital(text: &str) -> String {
    match text.strip_prefix("a ") {
        Some(rest) => format!("A {rest}"),
        None => text.to_owned(),
    }
}

fn references(count: u64) -> String {
    if count == 1 {
        "1 reference".to_owned()
    } else {
        format!("{count} references")
    }
}
